package rules

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// step is a request, what the origin would say to it, and what the client must
// get: hit; miss (forwarded, answered in full); etag or lm (validated by it);
// then, if it matters, the status. The origin answers 304 to what validates its
// last response, as that of the suite does.
type step struct {
	wait   int // seconds before
	method string
	url    string
	req    string
	status int // 0 is 200, -1 cannot be reached
	resp   string
	want   string
	code   int
	has    string // fields that must be in what the client gets; "Name:" must not
}

func cached(resp string) []step   { return []step{{resp: resp}, {wait: 3, want: "hit"}} }
func uncached(resp string) []step { return []step{{resp: resp}, {wait: 3, want: "miss"}} }
func uncachedStatus(code int, resp string) []step {
	return []step{{status: code, resp: resp}, {status: code, want: "miss"}}
}
func asked(cc, resp, want string) []step {
	return []step{{resp: resp}, {wait: 3, req: "Cache-Control: " + cc, want: want}}
}
func auth(cc, want string) []step {
	return []step{{req: "Authorization: FOO", resp: "Date: @0|Cache-Control: " + cc}, {wait: 3, want: want}}
}
func broken(cc string, status int, want string) []step {
	return []step{{resp: "Cache-Control: " + cc}, {wait: 3, status: status, want: want}}
}
func conditional(resp, req string) []step {
	return []step{{resp: "Cache-Control: max-age=100000|Date: @0|" + resp}, {wait: 3, req: req, want: "hit", code: 304}}
}
func becomesStale(resp, want string) []step {
	return []step{{resp: "Cache-Control: max-age=2|Date: @0|" + resp}, {wait: 3, want: want}}
}
func updates304(old, newer, has string) []step {
	return []step{{resp: `Cache-Control: max-age=2|ETag: "x"|Date: @0|` + old},
		{wait: 3, resp: `Cache-Control: max-age=2|ETag: "x"|Date: @3|` + newer, want: "etag", has: has}, {want: "hit", has: has}}
}
func headAfterStale(resp, has, want string) []step {
	s := []step{{resp: "Cache-Control: max-age=2|Date: @0|Template-A: 1"},
		{wait: 3, method: "HEAD", resp: "Date: @3|" + resp, want: "miss"}, {wait: 4, want: want}}
	if want == "hit" {
		s[2].has = has
	}
	return s
}
func varied(vary, first, second, want string) []step {
	return []step{{req: first, resp: "Cache-Control: max-age=5000|Last-Modified: @-3000|Date: @0|" + vary}, {req: second, want: want}}
}
func ranged(field, content string) []step {
	return []step{{resp: "Cache-Control: max-age=3600|Content-Length: 11|X-Stored: 1"},
		{req: "Range: " + field, want: "hit", code: 206, has: "Content-Range: " + content}}
}
func afterMethod(method string, status int, want string) []step {
	return []step{{resp: "Cache-Control: max-age=100000|Date: @0"}, {wait: 3, method: method, status: status, want: "miss"}, {want: want}}
}

func TestSuite(t *testing.T) {
	for _, c := range suite {
		t.Run(c.id, func(t *testing.T) { play(t, c.steps) })
	}
}

// The suite's list of fields (headers-store-*).
func TestSuiteHeaders(t *testing.T) {
	for _, f := range []string{"Test-Header", "X-Test-Header", "Content-Foo", "X-Content-Foo", "Content-Encoding", "Content-Location", "Content-MD5", "Content-Range",
		"Content-Security-Policy", "Content-Type", "Clear-Site-Data", "ETag", "Public-Key-Pins", "X-Frame-Options", "X-XSS-Protection"} {
		play(t, []step{{resp: "Cache-Control: max-age=3600|Date: @0|" + f + ": value"}, {wait: 3, want: "hit", has: f + ": value"}})
	}
	for _, f := range []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization", "Proxy-Connection", "TE", "Transfer-Encoding", "Upgrade"} {
		play(t, []step{{resp: "Cache-Control: max-age=3600|Date: @0|" + f + ": value"}, {wait: 3, want: "hit", has: f + ":"}})
	}
}

// The suite's lists of status codes, with what is ours to say otherwise.
func TestSuiteStatus(t *testing.T) {
	for _, code := range []int{200, 203, 204, 299, 301, 302, 303, 307, 308, 404, 410, 500, 502, 503, 504, 599} {
		play(t, []step{{status: code, resp: "Cache-Control: max-age=100000|Date: @0"}, {wait: 3, status: code, want: "hit", code: code}})
	}
	for _, code := range []int{200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599} {
		play(t, []step{{status: code, resp: "Expires: @-5000|Last-Modified: @-100000|Date: @0"}, {wait: 3, want: "miss"}})
	}
	for _, code := range []int{200, 203, 204, 404, 405, 410, 414, 501} {
		play(t, []step{{status: code, resp: "Last-Modified: @-86400|Date: @0"}, {status: code, want: "hit", code: code}})
	}
	for _, code := range []int{201, 202, 403, 502, 503, 504, 599} {
		play(t, []step{{status: code, resp: "Last-Modified: @-86400|Date: @0"}, {status: code, want: "miss"}})
	}
}

// Where the package comment says that we do otherwise than the suite wishes.
func TestDeviations(t *testing.T) {
	for _, steps := range [][]step{
		{{status: 400, resp: "Cache-Control: max-age=100000"}, {status: 400, want: "miss"}},
		{{status: 499, resp: "Cache-Control: max-age=100000"}, {status: 499, want: "miss"}},
		{{status: 599, resp: "Cache-Control: public|Last-Modified: @-86400|Date: @0"}, {status: 599, want: "miss"}},
		{{resp: "Cache-Control: max-age=100000|Set-Cookie: a=b"}, {want: "miss"}},
		{{resp: "Cache-Control: max-age=100000, public|Set-Cookie: a=b"}, {want: "hit", has: "Set-Cookie:"}},
		{{req: "Range: bytes=-5", status: 206, resp: "Cache-Control: max-age=3600|Content-Range: bytes 4-9/10"}, {req: "Range: bytes=-5", status: 206, want: "miss"}},
		{{method: "POST", resp: "Cache-Control: max-age=3600|Content-Location: /file"}, {want: "miss"}},
		{{req: "Accept-Language: en, de", resp: "Cache-Control: max-age=5000|Vary: Accept-Language|Content-Language: de"},
			{req: "Accept-Language: fr;q=0.5, de;q=1.0", want: "miss"}},
		{{resp: "Cache-Control: max-age=100000|Date: @0"}, {wait: 3, req: "If-Modified-Since: @-3000", want: "hit", code: 200}},
	} {
		play(t, steps)
	}
}

func play(t *testing.T, steps []step) {
	m := &model{now: noon, have: map[string][]*Stored{}}
	for i, s := range steps {
		m.now = m.now.Add(time.Duration(s.wait) * time.Second)
		req := get(t, plain+s.url, s.req)
		if s.method != "" {
			req.Method = s.method
		}
		last := ""
		if i > 0 {
			last = steps[i-1].resp
			if i > 1 && last == "" {
				last = steps[i-2].resp
			}
		}
		r := m.do(t, req, origin304(m, s, fields(last)))
		check(t, i, s, r)
	}
}

// origin304 answers as the suite's server does.
func origin304(m *model, s step, last http.Header) upstream {
	return func(asked Request) (Response, bool) {
		resp := Response{Status: s.status, Header: fields(s.resp), Requested: m.now, Received: m.now}
		if s.status == 0 {
			resp.Status = http.StatusOK
		}
		tag, since := last.Get("Etag"), last.Get("Last-Modified")
		if s.want == "etag" && tag != "" && asked.Header.Get("If-None-Match") == tag ||
			s.want == "lm" && since != "" && asked.Header.Get("If-Modified-Since") == since {
			resp.Status = http.StatusNotModified
		}
		if s.status < 0 {
			return Response{}, false
		}
		return resp, true
	}
}

func check(t *testing.T, i int, s step, r result) {
	t.Helper()
	want := map[string]string{"": "forward", "miss": "forward", "hit": "hit", "etag": "validated", "lm": "validated"}[s.want]
	if r.how != want {
		t.Fatalf("step %d: %s (%d), want %s", i, r.how, r.status, want)
	}
	if s.code != 0 && r.status != s.code {
		t.Errorf("step %d: status %d, want %d", i, r.status, s.code)
	}
	for f := range strings.SplitSeq(s.has, "|") {
		if name, absent := strings.CutSuffix(f, ":"); absent {
			if r.header.Get(name) != "" {
				t.Errorf("step %d: %s is there", i, name)
			}
			continue
		}
		for name, v := range fields(f) {
			if got := r.header.Get(name); got != v[0] {
				t.Errorf("step %d: %s is %q, want %q", i, name, got, v[0])
			}
		}
	}
}
