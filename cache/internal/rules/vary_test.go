package rules

import (
	"testing"
)

func TestSelects(t *testing.T) {
	for _, c := range []struct {
		vary, first, second string
		want                bool
	}{
		{"", "Foo: 1", "Foo: 2", true},
		{"foo", "Foo: 1", "Foo: 1", true},
		{"Foo|Vary: Bar", "Foo: 1|Bar: 2", "Foo: 1|Bar: 3", false},
		{"Foo", "Foo:", "", false}, // empty is not absent
		{"Foo", "Foo: A", "Foo: a", false},
		{"Foo", `Foo: "a,b"`, `Foo: "a, b"`, false},
		{"Foo", `Foo: "a\",b"`, `Foo: "a\", b"`, false},
		{"Foo", `Foo: a , b`, `Foo: a|Foo: b`, true},
		{"Foo, Bar", "Foo: 1\"\nBar=\"2", "Foo: 1|Bar: 2", false},
		{"User-Agent", "User-Agent: x (a, b)", "User-Agent: x (a,b)", false},
		{"Cookie", "Cookie: a=1", "Cookie: a=2", false},
		{"Cookie", "", "", true},
		{"*", "", "", false},
		{"Accept-Encoding", "Accept-Encoding: gzip, deflate, br", "Accept-Encoding: BR,gzip ,deflate", true},
		{"Accept-Encoding", "Accept-Encoding: gzip;q=1.0, br;q=0.50", "Accept-Encoding: br; q=0.5|Accept-Encoding: gzip", true},
		{"Accept-Encoding", "Accept-Encoding: gzip, br;q=0.5", "Accept-Encoding: gzip, br", false},
		{"Accept-Encoding", "Accept-Encoding: gzip;q=0", "Accept-Encoding: gzip", false},
		{"Accept-Encoding", "Accept-Encoding: x-gzip", "Accept-Encoding: gzip", true},
		{"Accept-Encoding", "Accept-Encoding: gzip", "", false},
		{"Accept-Encoding", "", "Accept-Encoding: identity", false},
		{"Accept-Encoding", "Accept-Encoding: gzip;q=0.5x", "Accept-Encoding: gzip;q=0.5", false},
		{"Accept-Language", "Accept-Language: de, en;q=0.8", "Accept-Language: en;q=0.80,DE", true},
		{"Accept-Language", "Accept-Language: de, en;q=0.8", "Accept-Language: en, de;q=0.8", false},
	} {
		s := stored(t, 200, "Cache-Control: max-age=60|Vary: "+c.vary, c.first)
		if got := s.Selects(fields(c.second)); got != c.want {
			t.Errorf("Vary %s: %q and %q: %v", c.vary, c.first, c.second, got)
		}
		if same := SecondaryKey(s.Header, fields(c.first)) == SecondaryKey(s.Header, fields(c.second)); same != c.want && c.vary != "*" {
			t.Errorf("Vary %s: %q and %q: secondary keys are the same: %v", c.vary, c.first, c.second, same)
		}
	}
}

// Servers that forget "Vary: Accept-Encoding" must not give gzip to who cannot
// read it.
func TestForgottenEncoding(t *testing.T) {
	for _, c := range []struct {
		first, second string
		want          bool
	}{
		{"Accept-Encoding: gzip", "Accept-Encoding: gzip", true},
		{"Accept-Encoding: gzip", "Accept-Encoding: br, gzip", true},
		{"Accept-Encoding: gzip", "Accept-Encoding: br", false},
		{"Accept-Encoding: gzip", "Accept-Encoding: gzip;q=0.0, br", false},
		{"Accept-Encoding: gzip", "", false},
		{"", "", true}, // sent unasked: so it is for all
		{"", "Accept-Encoding: gzip;q=0.1", true},
		{"", "Accept-Encoding: br", false},
	} {
		s := stored(t, 200, "Cache-Control: max-age=60|Content-Encoding: gzip", c.first)
		if got := s.Selects(fields(c.second)); got != c.want {
			t.Errorf("%q and %q: %v", c.first, c.second, got)
		}
	}
}

// What a server has sent to one site's page, or to no page, is not what another one's
// may read.
func TestForgottenOrigin(t *testing.T) {
	for _, c := range []struct {
		resp, first, second string
		want                bool
	}{
		{"", "", "", true},
		{"", "", "Origin: https://a", false},
		{"", "Origin: https://a", "", true},
		{"", "Origin: https://a", "Origin: https://a", true}, // it is not allowed, as it was
		{"", "Origin: https://a", "Origin: https://b", false},
		{"Access-Control-Allow-Origin: *", "", "Origin: https://a", true},
		{"Access-Control-Allow-Origin: https://a", "Origin: https://a", "Origin: https://a", true},
		{"Access-Control-Allow-Origin: https://a", "", "Origin: https://a", true},
		{"Access-Control-Allow-Origin: https://a", "Origin: https://a", "Origin: https://b", false},
		{"Access-Control-Allow-Origin: https://a", "Origin: https://b", "Origin: https://b", false},
		{"Access-Control-Allow-Origin: https://a", "Origin: https://a", "", true},
		{"Access-Control-Allow-Origin: *|Access-Control-Allow-Origin: x", "", "Origin: https://a", false},
	} {
		s := stored(t, 200, "Cache-Control: max-age=60|"+c.resp, c.first)
		if got := s.Selects(fields(c.second)); got != c.want {
			t.Errorf("%s, %q and %q: %v", c.resp, c.first, c.second, got)
		}
	}
}

func TestChoose(t *testing.T) {
	at := func(date, vary, first string) *Stored {
		return stored(t, 200, "Cache-Control: max-age=60|Date: @"+date+"|"+vary, first)
	}
	for _, c := range []struct {
		have []*Stored
		want int
	}{
		{nil, -1},
		{[]*Stored{at("1", "Vary: Foo", "Foo: 2")}, -1},
		{[]*Stored{at("1", "Vary: Foo", "Foo: 1"), at("2", "Vary: Foo", "Foo: 1"), at("0", "Vary: Foo", "Foo: 1")}, 1},
		{[]*Stored{at("2", "", ""), at("1", "Vary: Foo", "Foo: 1")}, 0},
		{[]*Stored{at("1", "", ""), at("2", "Vary: Foo", "Foo: 1")}, 1},
		{[]*Stored{at("1", "", ""), at("2", "Vary: Foo", "Foo: 2")}, -1}, // the first one forgot Vary
		{[]*Stored{at("1", "", ""), at("2", "", "")}, 1},
	} {
		if got := choose(fields("Foo: 1"), c.have); got != c.want {
			t.Errorf("%v: %d, want %d", c.have, got, c.want)
		}
	}
}
