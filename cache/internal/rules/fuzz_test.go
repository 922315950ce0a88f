package rules

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func FuzzDirectives(f *testing.F) {
	for _, s := range []string{"max-age=60, public", `no-cache="a, b"`, `x="\"`, "max-age=0;private", "max-stale", "s-maxage=99999999999999999999", `a="`, "=", `"no-store"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := parseDirectives([]string{s})
		for _, n := range []int64{d.maxAge, d.sMaxAge, d.minFresh, d.maxStale, d.staleWhileRevalidate, d.staleIfError} {
			if n < none || n > endless {
				t.Fatalf("%q: %+v", s, d)
			}
		}
		if d.broken && (d.public || d.shared || d.maxAge > 0) {
			t.Fatalf("%q permits although it is broken: %+v", s, d)
		}
		if !parseDirectives([]string{s, "no-store"}).noStore || !parseDirectives([]string{"private, " + s}).private {
			t.Fatalf("%q hides another directive", s)
		}
	})
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "0", "Thu, 99 Aug 2050 02:01:18 GMT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, ok := parseDate(s)
		if !ok {
			return
		}
		if again, ok := parseDate(formatDate(at)); !ok || !again.Equal(at) {
			t.Fatalf("%q is %v", s, at)
		}
		if std, err := http.ParseTime(strings.ToUpper(strings.Trim(s, " \t"))); err != nil || !std.Equal(at) {
			t.Fatalf("%q is %v, to net/http %v %v", s, at, std, err)
		}
	})
}

func FuzzETags(f *testing.F) {
	for _, s := range []string{`"a", W/"b"`, "*", `"a,b"`, `"`, "a, b", `W/`, `"a"b, "c"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tags, _ := parseETags([]string{s})
		for _, tag := range tags {
			if tag.text == "" || tag.strongly(tag) != (tag.valid && !tag.weak) || !tag.weakly(tag) {
				t.Fatalf("%q: %+v", s, tag)
			}
			again, _ := parseETags([]string{`"z", ` + tag.text})
			if len(again) != 2 || again[1] != tag {
				t.Fatalf("%q: %+v, then %+v", s, tag, again)
			}
		}
	})
}

func FuzzVary(f *testing.F) {
	f.Add("Foo, bar", "1, 2", "1", "2")
	f.Add("*", "", "", "")
	f.Add("Accept-Encoding", "gzip;q=0.50", "gzip", "br")
	f.Add("Accept-Encoding", ";", "0", ";q=1")
	f.Fuzz(func(t *testing.T, vary, a, b, c string) {
		resp := http.Header{"Vary": {vary}}
		one, two := http.Header{"Foo": {a}, "Accept-Encoding": {a}}, http.Header{"Foo": {b, c}, "Accept-Encoding": {b}}
		s := Stored{Status: 200, Header: resp, Select: Selecting(resp, one)}
		if !strings.Contains(vary, "*") && !s.Selects(one) {
			t.Fatalf("%q: %v does not select what it brought", vary, one)
		}
		other := Stored{Status: 200, Header: resp, Select: Selecting(resp, two)}
		if s.Selects(two) != other.Selects(one) {
			t.Fatalf("%q: %v and %v match one way only", vary, one, two)
		}
		if same := SecondaryKey(resp, one) == SecondaryKey(resp, two); !strings.Contains(vary, "*") && same != s.Selects(two) {
			t.Fatalf("%q: %v and %v: secondary keys are the same: %v", vary, one, two, same)
		}
		for _, f := range []string{"Foo", "Accept-Encoding", "Accept-Language"} {
			n := normalise(f, []string{a, b})
			if again := normalise(f, []string{n}); again != n {
				t.Fatalf("%s: %q, then %q", f, n, again)
			}
		}
	})
}

func FuzzKey(f *testing.F) {
	for _, s := range []string{"http://Example.org:80/a%2fb?x#y", "https://[::1]:443/", plain + "?" + sigV4, "https://h/?sig=a&sv=1&se=2", "http://h:0/", "x:y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil {
			return
		}
		k, err := KeyOf(u, nil)
		if err != nil {
			return
		}
		id, signed := strings.CutPrefix(k.ID, "signed ")
		again, err := url.Parse(id)
		if err != nil || signed != k.Signed || len(k.ID) > mostKey || strings.ContainsAny(id, " \r\n#") {
			t.Fatalf("%q: %q %v", s, k.ID, err)
		}
		if k2, err := KeyOf(again, nil); err != nil || !k.Signed && k2 != k {
			t.Fatalf("%q: %+v, then %+v %v", s, k, k2, err)
		}
	})
}

func FuzzGlob(f *testing.F) {
	f.Add("*a?b*", "xxaybzz")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 64 || len(s) > 256 {
			return
		}
		if glob(pattern, s) != slowGlob(pattern, s, map[[2]int]bool{}) {
			t.Fatalf("%q %q", pattern, s)
		}
	})
}

// slowGlob is the definition of a glob.
func slowGlob(pattern, s string, failed map[[2]int]bool) bool {
	at := [2]int{len(pattern), len(s)}
	switch {
	case failed[at]:
		return false
	case pattern == "":
		return s == ""
	case pattern[0] == '*' && (slowGlob(pattern[1:], s, failed) || s != "" && slowGlob(pattern, s[1:], failed)):
		return true
	case pattern[0] != '*' && s != "" && (pattern[0] == '?' || pattern[0] == s[0]) && slowGlob(pattern[1:], s[1:], failed):
		return true
	}
	failed[at] = true
	return false
}

func FuzzDigests(f *testing.F) {
	f.Add("sha-256=:"+strings.Repeat("A", 43)+"=:", "SHA-256="+strings.Repeat("A", 43)+"=", "/v2/a/blobs/sha256:"+strings.Repeat("a", 64))
	f.Add("sha-256=:", "=", "/by-hash/SHA256/")
	f.Fuzz(func(t *testing.T, repr, legacy, path string) {
		found := Digests(&url.URL{Scheme: "https", Host: "h"}, Response{Status: 200, Header: http.Header{"Repr-Digest": {repr}, "Digest": {legacy}}})
		if d := digestInPath(path); d != (Digest{}) {
			found = append(found, d)
			if !strings.HasSuffix(path, d.Hex) {
				t.Fatalf("%q: %v", path, d)
			}
		}
		for _, d := range found {
			if again, ok := NewDigest(d.Algo, d.Hex); !ok || again != d {
				t.Fatalf("%q %q: %+v", repr, legacy, d)
			}
		}
	})
}

// Any fields whatever in request and response: nothing panics, what is served
// may be served, and a part lies within the whole.
func FuzzAll(f *testing.F) {
	f.Add("Cache-Control: max-age=5|Range: bytes=0-1", `Cache-Control: max-age=60|ETag: "a"|Content-Length: 10`, 200, int64(30))
	f.Add(`If-None-Match: "a"`, `ETag: "a"|Vary: Foo`, 200, int64(-9))
	f.Add("Range: bytes=-5", `ETag: "a"|Content-Range: bytes 5-9/10`, 206, int64(0))
	f.Fuzz(func(t *testing.T, ask, say string, status int, later int64) {
		req, resp := get(t, plain, ask), answer(status, say)
		ok, why := Storable(req, resp)
		if ok != (why == "") {
			t.Fatalf("%v %q", ok, why)
		}
		s := Keep(req, resp)
		s.Complete = status != 206
		now := noon.Add(time.Duration(later))
		d := Decide(req, []*Stored{&s}, now)
		a := Evaluate(req, &s)
		if s.Total >= 0 && (a.Range.Start < 0 || a.Range.End > s.Total) {
			t.Fatalf("%q of %q: %+v", ask, say, a)
		}
		if got, h := Respond(&s, a, now, false); got != 0 && len(h["Set-Cookie"])+len(h["Connection"]) > 0 {
			t.Fatalf("%v", h)
		}
		Revalidation(req, []*Stored{&s}, d.At)
		if update, own := Freshen(req, []*Stored{&s}, d.At, resp); len(update) > 0 && own {
			t.Fatal("a 304 is about two copies")
		}
		if updated, _ := Refresh(&s, req, resp); updated.Total != s.Total || strongETag(updated.Header) != strongETag(s.Header) {
			t.Fatalf("an update changed the version: %+v", updated)
		}
		StaleOnError(req, &s, status, now)
		FreshenByHead(req, &s, resp)
		_ = CacheStatus{Fwd: d.Fwd, Detail: d.Why}.String()
	})
}

// FuzzFixdate: the short way says what the long way says.
func FuzzFixdate(f *testing.F) {
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Thu, 29 Feb 2024 23:59:59 GMT", "Thu, 30 Feb 2024 00:00:00 GMT", "Thu, 00 Mar 2024 00:00:00 GMT",
		"Thu, 01 Mar 2024 24:00:00 GMT", "Thu, 01 Mar 2024 00:60:00 GMT", "Thu, 01 Mar 2024 00:00:60 GMT", "unM, 01 Mar 2024 00:00:00 GMT", "Thu, 01 arA 2024 00:00:00 GMT", "Thu, 01 Mar 0000 00:00:00 GMT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, ok := fixdate(s)
		b, also := anyDate(s)
		if ok && (!also || !a.Equal(b)) {
			t.Errorf("%q: %v, and %v %v", s, a, b, also)
		}
	})
}
