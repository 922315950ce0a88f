package group

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestNodeID(t *testing.T) {
	id := NewNodeKey().ID()
	text := id.String()
	if len(text) != idChars || NewNodeKey().ID() == id {
		t.Fatalf("%s", text)
	}
	for _, tt := range []struct{ in, err string }{
		{text, ""},
		{strings.ToUpper(text), ""},
		{" " + text[:4] + " - " + text[4:] + "\n", ""},
		{"", "0 characters instead of 52"},
		{text[:51], "51 characters"},
		{text + "a", "53 characters"},
		{"1" + text[1:], `'1' after 0 characters`},
		{text[:51] + "é", "after 51 characters"},
		{text[:51] + "b", "last character"}, // the last has 1 bit of 5 in use
		{strings.Repeat("a", 5000), "too many"},
	} {
		got, err := ParseNodeID(tt.in)
		if !says(err, tt.err) || err == nil && got != id {
			t.Errorf("%q: %v, %v", tt.in, got, err)
		}
	}
}

func TestNodeIDInJSON(t *testing.T) {
	in := map[NodeID][]NodeID{NewNodeKey().ID(): {NewNodeKey().ID()}}
	data, err := json.Marshal(in)
	var out map[NodeID][]NodeID
	if err != nil || json.Unmarshal(data, &out) != nil || len(out) != 1 {
		t.Fatalf("%s, %v", data, err)
	}
	for id := range in {
		if len(out[id]) != 1 || out[id][0] != in[id][0] {
			t.Errorf("%s", data)
		}
	}
}

func FuzzParseNodeID(f *testing.F) {
	f.Add("")
	f.Add(NewNodeKey().ID().String())
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseNodeID(text)
		if err != nil {
			return
		}
		if again, err := ParseNodeID(id.String()); err != nil || again != id {
			t.Errorf("%q is not its own text: %v", text, err)
		}
	})
}
