package cache

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"testing"

	"dtpx/cache/internal/disk"
)

// where are the machines at which a key is wanted, each by its own reckoning.
func where(k disk.Key, machines []string) (at []string) {
	for _, self := range machines {
		var p placing
		p.latest.Store(newRing(self, machines))
		if p.factor(k) == 1 {
			at = append(at, self)
		}
	}
	return at
}

// All machines agree about two for each key, and one that comes takes keys over
// and moves none between the others.
func TestPlaces(t *testing.T) {
	const keys = 1000
	for _, c := range []struct {
		machines []string
		places   int
	}{
		{[]string{"a"}, 1},
		{[]string{"a", "b"}, 2},
		{[]string{"a", "b", "c"}, 2},
		{[]string{"ikweaykev", "jqf6z2b4", "x7", "x8", "x9", "y1", "y2", "y3"}, 2},
	} {
		count := map[string]int{}
		for i := range keys {
			k := disk.Key(sha256.Sum256([]byte(fmt.Sprint(i))))
			at := where(k, c.machines)
			if len(at) != c.places {
				t.Fatalf("%v: wanted at %v", c.machines, at)
			}
			for _, m := range at {
				count[m]++
			}
			for _, m := range where(k, append(slices.Clone(c.machines), "new")) {
				if m != "new" && !slices.Contains(at, m) {
					t.Fatalf("%v: one more, and %s has what was at %v", c.machines, m, at)
				}
			}
		}
		for m, n := range count {
			if fair := keys * c.places / len(c.machines); n < fair*3/4 || n > fair*5/4 {
				t.Errorf("%v: %s has %d of %d", c.machines, m, n, keys)
			}
		}
	}
}

func TestNobodyToPlaceWith(t *testing.T) {
	k := disk.Key(sha256.Sum256(nil))
	var p placing
	if f := p.factor(k); f != 1 {
		t.Errorf("without a list: %v", f)
	}
	for _, c := range []struct {
		self   string
		others []string
	}{{"a", nil}, {"a", []string{"a"}}, {"a", []string{"b", "b", "a"}}, {"", []string{"b", "c", "d"}}} {
		for i := range 50 {
			p.latest.Store(newRing(c.self, c.others))
			if f := p.factor(sha256.Sum256([]byte{byte(i)})); f != 1 {
				t.Errorf("%q and %v: %v", c.self, c.others, f)
			}
		}
	}
}

// When room is needed, what is placed elsewhere goes first.
func TestEvictionFollowsPlaces(t *testing.T) {
	c, err := Open(Options{Dir: t.TempDir(), Size: 8 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Place(func() (string, []string) { return "a", []string{"b", "c", "d", "e"} })
	for c.placing.latest.Load() == nil {
		runtime.Gosched()
	}
	const size = 256 << 10
	belongs := func(k disk.Key) bool {
		before := 0
		for _, o := range []string{"b", "c", "d", "e"} {
			if score(nameHash(o), k) > score(nameHash("a"), k) {
				before++
			}
		}
		return before < 2
	}
	here := 0
	for i := range 60 {
		k := keyOf(fmt.Sprint("x", i))
		if belongs(k) {
			here++
		}
		e, err := c.store.Create(k, nil, size)
		if err != nil {
			t.Fatal(err)
		}
		f := e.Fill()
		f.WriteAt(content(size, uint64(i)), 0)
		f.Close()
		e.Release()
		if err := c.store.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	kept, belong := 0, 0
	c.store.Entries(func(i disk.Info) bool {
		kept++
		if belongs(i.Key) {
			belong++
		}
		return true
	})
	if kept < 20 || here < 15 || belong < min(here, kept)*4/5 {
		t.Errorf("%d of 60 kept, %d of them belong here, of %d that came", kept, belong, here)
	}
}
