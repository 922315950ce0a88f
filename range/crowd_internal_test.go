package ranges

import (
	"maps"
	"testing"
)

func TestLanesOf(t *testing.T) {
	many := map[string]int{}
	for i := range 200 {
		many[string(rune('a'+i))] = 1
	}
	for _, c := range []struct {
		name    string
		readers []string
		busy    map[string]int
		want    int
	}{
		{"alone", []string{"a"}, map[string]int{"a": 9}, 0},
		{"nobody", nil, nil, 0},
		{"in the background", nil, map[string]int{"a": 1}, 1},
		{"one against one", []string{"a"}, map[string]int{"a": 1, "b": 1}, 0},
		{"one of eight", []string{"a"}, map[string]int{"a": 8, "b": 1}, 2},
		{"one against eight", []string{"b"}, map[string]int{"a": 8, "b": 1}, 0},
		{"one of five", []string{"a"}, map[string]int{"a": 5, "b": 1}, 3},
		{"one of forty", []string{"a"}, map[string]int{"a": 40, "b": 1}, 1},
		{"for two of them", []string{"a", "b"}, map[string]int{"a": 4, "b": 4, "c": 1}, 8},
		{"twice for one", []string{"a", "a"}, map[string]int{"a": 4, "b": 4}, 4},
		{"idle itself", []string{"z"}, map[string]int{"a": 4, "b": 4}, 0},
		{"one of two hundred", []string{"a"}, many, 1},
	} {
		if got := lanesOf(c.readers, c.busy, 16); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestPartsOf(t *testing.T) {
	for _, c := range []struct {
		limit, want int64
		count, part map[string]int64
	}{
		{256, 64, map[string]int64{"a": 1}, map[string]int64{"a": 64}},
		{256, 64, map[string]int64{"a": 8}, map[string]int64{"a": 32}},
		{256, 64, map[string]int64{"a": 8, "b": 1}, map[string]int64{"a": 24, "b": 64}},
		{256, 64, map[string]int64{"a": 8, "b": 8}, map[string]int64{"a": 16, "b": 16}},
		{256, 64, map[string]int64{"a": 8, "b": 1, "c": 4}, map[string]int64{"a": 12, "b": 64, "c": 24}},
	} {
		count := map[string]int{}
		for k, n := range c.count {
			count[k] = int(n)
		}
		if got := partsOf(c.limit, c.want, count); !maps.Equal(got, c.part) {
			t.Errorf("%d of %v: %v, want %v", c.limit, c.count, got, c.part)
		}
	}
}
