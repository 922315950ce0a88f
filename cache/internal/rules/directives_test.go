package rules

import (
	"reflect"
	"testing"
	"time"
)

func TestDelta(t *testing.T) {
	for _, c := range []struct {
		s    string
		want int64
		ok   bool
	}{
		{"0", 0, true}, {"003600", 3600, true}, {"2147483647", 1<<31 - 1, true}, {"2147483648", endless, true},
		{"2147483649", endless, true}, {"9223372036854775808", endless, true}, {"99999999999999999999999999", endless, true},
		{"", 0, false}, {"-1", 0, false}, {"+1", 0, false}, {"1.5", 0, false}, {" 1", 0, false}, {"1s", 0, false}, {"0x1", 0, false}, {"١", 0, false},
	} {
		if got, ok := delta(c.s); got != c.want || ok != c.ok {
			t.Errorf("%q: %d %v", c.s, got, ok)
		}
	}
}

// blank is what parseDirectives makes of a field with nothing that it knows.
func blank(change func(d *directives)) directives {
	d := directives{present: true, maxAge: none, sMaxAge: none, minFresh: none, maxStale: none, staleWhileRevalidate: none, staleIfError: none}
	change(&d)
	return d
}

func TestDirectives(t *testing.T) {
	for _, c := range []struct {
		lines  []string
		change func(d *directives)
	}{
		{nil, func(d *directives) { d.present = false }},
		{[]string{"", " , ,"}, func(d *directives) { d.present = false }},
		{[]string{"x-unknown=1, y"}, func(d *directives) {}},
		{[]string{"No-Store"}, func(d *directives) { d.noStore = true }},
		{[]string{"no-store=1"}, func(d *directives) { d.noStore = true }},
		{[]string{"max-age=9;private"}, func(d *directives) { d.maxAge, d.private = 0, true }},
		{[]string{"no-cache; no-store"}, func(d *directives) { d.noCache, d.noStore = true, true }},
		{[]string{`private="Set-Cookie"`}, func(d *directives) { d.private = true }},
		{[]string{`no-cache="a, b"`, "no-cache=c"}, func(d *directives) { d.noCacheFields = []string{"a", "b", "c"} }},
		{[]string{`no-cache="a, vary"`}, func(d *directives) { d.noCache = true }}, // without it this is another response
		{[]string{`no-cache="Content-Encoding"`}, func(d *directives) { d.noCache = true }},
		{[]string{`no-cache="set-cookie"`}, func(d *directives) { d.noCacheFields = []string{"set-cookie"} }},
		{[]string{`no-cache=""`}, func(d *directives) { d.noCache = true }},
		{[]string{`no-cache="a`}, func(d *directives) { d.noCache, d.broken = true, true }},
		{[]string{"public"}, func(d *directives) { d.public, d.shared, d.open = true, true, true }},
		{[]string{"public=1"}, func(d *directives) {}},
		{[]string{"public; x"}, func(d *directives) {}},
		{[]string{"must-revalidate"}, func(d *directives) { d.mustRevalidate, d.shared = true, true }},
		{[]string{"must-revalidate=1"}, func(d *directives) { d.mustRevalidate = true }},
		{[]string{"proxy-revalidate"}, func(d *directives) { d.mustRevalidate = true }},
		{[]string{"s-maxage=5"}, func(d *directives) { d.sMaxAge, d.shared, d.open = 5, true, true }},
		{[]string{"s-maxage=x"}, func(d *directives) { d.sMaxAge = 0 }},
		{[]string{"max-age"}, func(d *directives) { d.maxAge = 0 }},
		{[]string{"max-age="}, func(d *directives) { d.maxAge = 0 }},
		{[]string{`max-age=""`}, func(d *directives) { d.maxAge = 0 }},
		{[]string{`max-age="6\0"`}, func(d *directives) { d.maxAge = 60 }},
		{[]string{"max-age=1,max-age=2", "max-age=3"}, func(d *directives) { d.maxAge = 1 }},
		{[]string{"max-age=-1, max-age=2"}, func(d *directives) { d.maxAge = 0 }},
		{[]string{`ext="no-store, max-age=5"`}, func(d *directives) {}},
		{[]string{`ext="\", no-store"`}, func(d *directives) {}},
		{[]string{`ext="no-store, max-age=5`}, func(d *directives) { d.noStore, d.broken, d.maxAge = true, true, 0 }},
		{[]string{`ext="a`, "public, immutable, stale-if-error=5", `b"`}, func(d *directives) { d.broken = true }},
		{[]string{`s-maxage=5, max-age=6, x="`}, func(d *directives) { d.broken, d.sMaxAge, d.maxAge = true, 0, 0 }},
		{[]string{"max-stale"}, func(d *directives) { d.maxStale = endless }},
		{[]string{"max-stale=5"}, func(d *directives) { d.maxStale = 5 }},
		{[]string{"max-stale=x"}, func(d *directives) {}},
		{[]string{"max-stale x"}, func(d *directives) {}},
		{[]string{"min-fresh=x"}, func(d *directives) { d.minFresh = endless }},
		{[]string{"stale-while-revalidate=5, stale-if-error=x"}, func(d *directives) { d.staleWhileRevalidate = 5 }},
		{[]string{"immutable, must-understand, only-if-cached"}, func(d *directives) { d.immutable, d.mustUnderstand, d.onlyIfCached = true, true, true }},
		{[]string{"private\x00no-store"}, func(d *directives) { d.private, d.noStore = true, true }},
	} {
		if got, want := parseDirectives(c.lines), blank(c.change); !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\n%+v, want\n%+v", c.lines, got, want)
		}
	}
}

// RFC 9111 §5.4: Pragma is for those who do not know Cache-Control.
func TestPragma(t *testing.T) {
	for header, want := range map[string]bool{
		"Pragma: no-cache":                             true,
		"Pragma: x, No-Cache":                          true,
		"Pragma: other":                                false,
		"Pragma: no-cache|Cache-Control: max-age=5":    false,
		"Pragma: no-cache|Cache-Control: no-transform": false,
		"Pragma: no-cache|Cache-Control:":              true,
	} {
		if got := requestDirectives(fields(header)).noCache; got != want {
			t.Errorf("%s: %v", header, got)
		}
	}
}

func TestDates(t *testing.T) {
	want := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	for s, ok := range map[string]bool{
		"Sun, 06 Nov 1994 08:49:37 GMT":    true,
		" Sun, 06 Nov 1994 08:49:37 GMT\t": true,
		"Sunday, 06-Nov-94 08:49:37 GMT":   true,
		"Sun Nov  6 08:49:37 1994":         true,
		"Sun Nov 06 08:49:37 1994":         true,
		"sun, 06 nov 1994 08:49:37 gmt":    true,
		"Mon, 06 Nov 1994 08:49:37 GMT":    true, // which day it was does not matter
		"Sun, 06 Nov 1994 08:49:37 +0000":  false,
		"Sun, 6 Nov 1994 08:49:37 GMT":     false,
		"Sunday, 06-Nov-1994 08:49:37 GMT": false,
		"Sun, 06-Nov-94 08:49:37 GMT":      false,
		"Sunday, 06-Nov-94 08:49:37 EST":   false,
		"Sun, 31 Feb 1994 08:49:37 GMT":    false,
		"Sun, 06 Nov 1994 24:49:37 GMT":    false,
		"Sun, 06 Nov 1994 08:49:37 GMT x":  false,
		"784111777":                        false,
		"S0n, 06 Nov 1994 08:49:37 GMT":    false,
		"Sun Nov x6 08:49:37 1994":         false,
		"Sun Nov  6 08:49:37 199x":         false,
		"":                                 false,
	} {
		if got, is := parseDate(s); is != ok || ok && !got.Equal(want) {
			t.Errorf("%q: %v %v", s, got, is)
		}
	}
}
