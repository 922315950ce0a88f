package rules

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	ranges "dtpx/range"
)

func TestRespond(t *testing.T) {
	s := stored(t, 200, `Cache-Control: max-age=60|ETag: "a"|Last-Modified: @-100|Date: @0|Content-Length: 100|Content-Type: a/b|Via: 1.1 cdn|Expires: @60|Vary: Foo|Content-Location: /x`, "")
	for _, c := range []struct {
		name      string
		a         Answer
		validated bool
		status    int
		want      string
	}{
		{"whole", Answer{Kind: Whole}, false, 200,
			`Cache-Control: max-age=60|ETag: "a"|Last-Modified: @-100|Date: @0|Content-Length: 100|Content-Type: a/b|Via: 1.1 cdn|Expires: @60|Vary: Foo|Content-Location: /x|Age: 7`},
		{"part", Answer{Kind: Part, Range: ranges.Range{Start: 5, End: 10}}, false, 206,
			`Cache-Control: max-age=60|ETag: "a"|Last-Modified: @-100|Date: @0|Content-Length: 5|Content-Range: bytes 5-9/100|Content-Type: a/b|Via: 1.1 cdn|Expires: @60|Vary: Foo|Content-Location: /x|Age: 7`},
		{"304", Answer{Kind: NotModified}, false, 304, `Cache-Control: max-age=60|ETag: "a"|Date: @0|Expires: @60|Vary: Foo|Content-Location: /x|Age: 7`},
		{"304 after validation", Answer{Kind: NotModified}, true, 304, `Cache-Control: max-age=60|ETag: "a"|Date: @0|Expires: @60|Vary: Foo|Content-Location: /x`},
		{"416", Answer{Kind: Unsatisfiable}, false, 416, "Content-Range: bytes */100|Content-Length: 0"},
		{"elsewhere", Answer{Kind: Elsewhere}, false, 0, ""},
	} {
		status, h := Respond(s, c.a, noon.Add(7900*time.Millisecond), c.validated)
		want := fields(c.want)
		if status != c.status || len(h)+len(want) > 0 && fmt.Sprint(h) != fmt.Sprint(want) {
			t.Errorf("%s: %d %v, want %v", c.name, status, h, want)
		}
	}
	if _, h := Respond(s, Answer{Kind: NotModified}, noon, false); true {
		h["Etag"][0] = "changed"
	}
	if s.Header.Get("Etag") != `"a"` {
		t.Error("an answer shares its fields with what is stored")
	}
}

func TestRespondOdd(t *testing.T) {
	s := stored(t, 200, "Date: @0|Last-Modified: @-100", "")
	_, h := Respond(s, Answer{Kind: NotModified}, noon, false)
	if !has(h, "Last-Modified") {
		t.Error("a 304 without any validator")
	}
	if _, h = Respond(s, Answer{Kind: Whole}, noon, false); has(h, "Content-Length") {
		t.Error("a length that is not known")
	}
	s = stored(t, 204, "Date: @0|Age: 3", "")
	if status, h := Respond(s, Answer{Kind: Whole}, noon, true); status != 204 || has(h, "Content-Length") || h.Get("Age") != "3" {
		t.Errorf("%d %v", status, h)
	}
	// Written by an older version, or by somebody else.
	s = &Stored{Status: 200, Total: 5, Header: fields("Set-Cookie: a=b|Set-Cookie2: a|WWW-Authenticate: x|Authentication-Info: x|Proxy-Authentication-Info: x|Connection: X|X: 1|Keep-Alive: 1")}
	if _, h := Respond(s, Answer{Kind: Whole}, noon, true); fmt.Sprint(h) != fmt.Sprint(fields("Content-Length: 5")) {
		t.Errorf("handed on: %v", h)
	}
}

func TestCacheStatus(t *testing.T) {
	for _, c := range []struct {
		s    CacheStatus
		want string
	}{
		{CacheStatus{}, "dtpx; hit"},
		{CacheStatus{HasTTL: true, TTL: 30 * time.Second}, "dtpx; hit; ttl=30"},
		{CacheStatus{HasTTL: true, TTL: -412 * time.Second, Detail: "max-stale"}, `dtpx; hit; ttl=-412; detail="max-stale"`},
		{CacheStatus{Fwd: FwdURIMiss, Stored: true, Collapsed: true}, "dtpx; fwd=uri-miss; stored; collapsed"},
		{CacheStatus{Fwd: FwdStale, FwdStatus: 304}, "dtpx; fwd=stale; fwd-status=304"},
		{CacheStatus{Fwd: FwdBypass, Detail: "a \"b\"\\\r\nc\u00fc"}, `dtpx; fwd=bypass; detail="a \"b\"\\c"`},
		{CacheStatus{FwdStatus: 200, Stored: true}, "dtpx; hit"},
	} {
		if got := c.s.String(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	h := fields("Cache-Status: cdn; hit")
	CacheStatus{}.Append(h)
	if fmt.Sprint(h["Cache-Status"]) != "[cdn; hit dtpx; hit]" {
		t.Errorf("%v", h)
	}
}

// RFC 9111 §4.4.
func TestInvalidated(t *testing.T) {
	target := "https://example.org/a/b?q"
	for _, c := range []struct {
		method string
		status int
		header string
		want   []string
	}{
		{"POST", 200, "", []string{target}},
		{"PUT", 204, "", []string{target}},
		{"DELETE", 302, "", []string{target}},
		{"PATCH", 200, "", []string{target}},
		{"BREW", 200, "", []string{target}},
		{"get", 200, "", []string{target}}, // methods have case
		{"GET", 200, "", nil}, {"HEAD", 200, "", nil}, {"OPTIONS", 200, "", nil}, {"TRACE", 200, "", nil}, {"PROPFIND", 207, "", nil},
		{"POST", 400, "", nil}, {"POST", 500, "", nil}, {"POST", 100, "", nil},
		{"POST", 201, "Location: /c|Content-Location: d", []string{target, "https://example.org/c", "https://example.org/a/d"}},
		{"POST", 201, "Location: https://EXAMPLE.org:443/c", []string{target, "https://EXAMPLE.org:443/c"}},
		{"POST", 201, "Location: https://evil.example/c|Content-Location: http://example.org/c", []string{target}},
		{"POST", 201, "Location: https://example.org:444/c", []string{target}},
		{"POST", 201, "Location: /c|Location: /d", []string{target}},
		{"POST", 201, "Location: ://x", []string{target}},
		{"POST", 201, "Location: ", []string{target}},
	} {
		var got []string
		for _, u := range Invalidated(c.method, parse(t, target), c.status, fields(c.header)) {
			got = append(got, u.String())
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s %d %s: %v", c.method, c.status, c.header, got)
		}
	}
}

// Nothing of a stored response leaves with what is for one client.
func TestNothingPersonal(t *testing.T) {
	for _, f := range personalFields {
		s := stored(t, 200, "Cache-Control: public, max-age=60|"+f+": secret", "")
		for _, kind := range []AnswerKind{Whole, Part, NotModified} {
			if _, h := Respond(s, Answer{Kind: kind}, noon, false); has(h, f) || has(h, http.CanonicalHeaderKey(f)) {
				t.Errorf("%s is handed on", f)
			}
		}
	}
}
