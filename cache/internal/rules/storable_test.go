package rules

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestStorable(t *testing.T) {
	const fresh = "Cache-Control: max-age=60|"
	for _, c := range []struct {
		url, req string
		status   int
		resp     string
		why      string // empty: it is
	}{
		{"", "", 200, fresh, ""},
		{"", "", 200, `ETag: "a"`, ""},
		{"", "", 200, "Last-Modified: @-100", ""},
		{"", "", 200, "", "neither lifetime nor validator"},
		{"", "", 200, "Expires: 0", "neither lifetime nor validator"},
		{"", "", 200, "Cache-Control: max-age=0, stale-if-error=5", ""},
		{"https://r.example/v2/a/b/blobs/sha256:" + strings.Repeat("0a", 32), "", 200, "", ""},
		{"", "", 201, "Cache-Control: public|Last-Modified: @-100", ""},
		{"", "", 201, `ETag: "a"`, "status without an explicit lifetime"},
		{"", "", 403, fresh, "status"},
		{"", "", 451, fresh, "status"},

		// RFC 9111 §3, §5.2.2
		{"", "Cache-Control: no-store", 200, fresh, "no-store in the request"},
		{"", "", 200, "Cache-Control: max-age=60|Cache-Control: public, NO-STORE", "no-store"},
		{"", "", 200, `Cache-Control: max-age=60, private="X-User"`, "private"},
		{"", "", 200, "Cache-Control: max-age=60, no-store, must-understand", ""},
		{"", "Cache-Control: no-store", 200, "Cache-Control: max-age=60, no-store, must-understand", "no-store in the request"},
		{"", "", 403, "Cache-Control: max-age=60, must-understand", "must-understand"},
		{"", "", 302, "Cache-Control: max-age=60, no-store, must-understand", ""},
		{"", "", 200, fresh + "Vary: *", "Vary: *"},

		// credentials
		{"", "Authorization: x", 200, fresh, "Authorization"},
		{"", "Authorization: x", 200, "Cache-Control: s-maxage=x", "Authorization"},
		{"", "Authorization: x", 200, "Cache-Control: s-maxage=5", ""},
		{"", "Authorization: x", 200, "Cache-Control: max-age=5, public|Vary: Authorization", "Vary names Authorization"},
		{"", "Cookie: x", 200, fresh, "Cookie"},
		{"", "Cookie: x", 200, "Cache-Control: max-age=5, must-revalidate", "Cookie"},
		{"", "Cookie: x", 200, "Cache-Control: max-age=5, public", ""},
		{"", "Cookie: x", 200, "Cache-Control: s-maxage=5|Vary: cookie", "Vary names Cookie"},
		{"", "", 200, fresh + "Vary: Cookie", ""},
		{"", "X-API-Key: x", 200, fresh, "X-Api-Key"},
		{"", "PRIVATE-TOKEN: x", 200, "Cache-Control: public, max-age=5", ""},
		{"", "", 200, fresh + "Set-Cookie: a=b", "Set-Cookie"},
		{"", "", 200, "Cache-Control: s-maxage=5|Set-Cookie2: a=b", "Set-Cookie"},
		{"", "", 200, "Cache-Control: public, max-age=5|Set-Cookie: a=b", ""},

		// lengths and framing
		{"", "", 200, fresh + "Content-Length: 5|Content-Length: 5", ""},
		{"", "", 200, fresh + "Content-Length: 5|Content-Length: 6", "conflicting lengths"},
		{"", "", 200, fresh + "Content-Length: 5, 6", "conflicting lengths"},
		{"", "", 200, fresh + "Content-Length: -5", "conflicting lengths"},
		{"", "", 200, fresh + "Content-Length: 5|Transfer-Encoding: chunked", "a length and a transfer coding"},
		{"", "", 200, fresh + "Trailer: X-Sum", "trailers"},
		{"", "", 200, fresh + "Connection: close, Cache-Control", "Connection names an end-to-end field"},
		{"", "", 200, fresh + "Connection: keep-alive, X-Mine", ""},

		// parts, RFC 9110 §15.3.7
		{"", "Range: bytes=0-4", 206, fresh + `ETag: "a"|Content-Range: bytes 0-4/10|Content-Length: 5`, ""},
		{"", "Range: bytes=0-9", 206, fresh + `ETag: "a"|Content-Range: bytes 0-4/10`, ""},
		{"", "Range: bytes=-5", 206, fresh + `ETag: "a"|Content-Range: bytes 5-9/10`, ""},
		{"", "Range: bytes=5-", 206, fresh + `ETag: "a"|Content-Range: bytes 5-9/10`, ""},
		{"", "Range: bytes=5-", 206, fresh + `ETag: "a"|Content-Range: bytes 4-9/10`, "a part other than the one asked for"},
		{"", "Range: bytes=0-4", 206, fresh + `ETag: "a"|Content-Range: bytes 0-5/10`, "a part other than the one asked for"},
		{"", "", 206, fresh + `ETag: "a"|Content-Range: bytes 0-4/10`, "a part that was not asked for"},
		{"", "Range: bytes=0-4", 206, fresh + `ETag: W/"a"|Content-Range: bytes 0-4/10`, "a part without strong validator, length and one Content-Range"},
		{"", "Range: bytes=0-4", 206, fresh + "Last-Modified: @-9999|Content-Range: bytes 0-4/10", "a part without strong validator, length and one Content-Range"},
		{"", "Range: bytes=0-4", 206, fresh + `ETag: "a"|Content-Range: bytes 0-4/*`, "a part without strong validator, length and one Content-Range"},
		{"", "Range: bytes=0-4", 206, fresh + `ETag: "a"|Content-Range: bytes 0-4/10|Content-Range: bytes 0-4/11`, "a part without strong validator, length and one Content-Range"},
		{"", "Range: bytes=0-1,3-4", 206, fresh + `ETag: "a"|Content-Type: multipart/byteranges`, "a part without strong validator, length and one Content-Range"},
		{"", "Range: bytes=0-4", 206, fresh + `ETag: "a"|Content-Range: bytes 0-4/10|Content-Length: 6`, "Content-Range and Content-Length disagree"},
		{"", "Range: bytes=0-4", 200, fresh, ""},
		{"", `If-None-Match: "z"`, 200, fresh, ""},

		// signed URLs
		{plain + "?" + sigV4, "", 200, fresh + `ETag: "a"|Content-Length: 5`, ""},
		{plain + "?" + sigV4, "", 200, fresh + `ETag: "a"`, "a signed URL without strong validator and length"},
		{plain + "?" + sigV4, "", 200, fresh + `ETag: W/"a"|Content-Length: 5`, "a signed URL without strong validator and length"},
		{plain + "?" + sigV4, "", 404, fresh, "status for a signed URL"},

		{"", "X-Big: " + strings.Repeat("x", mostHeader), 200, fresh, "the request's header section is larger than origins take"},
	} {
		if c.url == "" {
			c.url = plain
		}
		ok, why := Storable(get(t, c.url, c.req), answer(c.status, c.resp))
		if ok != (why == "") || why != c.why {
			t.Errorf("%s → %d %s: %q, want %q", c.req, c.status, c.resp, why, c.why)
		}
	}
}

// What http.Response says beside its header section.
func TestFraming(t *testing.T) {
	resp := answer(200, "Cache-Control: max-age=60")
	for _, c := range []struct {
		encodings []string
		trailers  bool
		length    string
		ok        bool
	}{
		{nil, false, "", true}, {[]string{"chunked"}, false, "", true}, {[]string{"chunked"}, false, "5", false},
		{[]string{"gzip"}, false, "", false}, {[]string{"gzip", "chunked"}, false, "", false}, {[]string{"chunked"}, true, "", false},
	} {
		resp.Encodings, resp.Trailers = c.encodings, c.trailers
		if resp.Header.Del("Content-Length"); c.length != "" {
			resp.Header.Set("Content-Length", c.length)
		}
		if ok, why := Storable(get(t, plain, ""), resp); ok != c.ok {
			t.Errorf("%+v: %v %s", c, ok, why)
		}
	}
}

func TestMalformedFieldNames(t *testing.T) {
	for _, f := range []string{"Content-Length ", "Transfer-Encoding\t", "X\x00", "Caché"} {
		resp := answer(200, "Cache-Control: max-age=60")
		resp.Header[f] = []string{"5"}
		if ok, _ := Storable(get(t, plain, ""), resp); ok {
			t.Errorf("%q is stored", f)
		}
	}
}

// A list of fields that are to be validated cannot take away what a response is
// understood by: then all of it is to be validated.
func TestNoCacheOfWhatIsNeeded(t *testing.T) {
	for _, f := range []string{"Vary", "cache-control", "Content-Encoding", "Content-Type", "ETag", "Date", "Age", "Expires"} {
		resp := answer(200, "Cache-Control: max-age=60, no-cache=\""+f+"\"|Vary: X|Content-Encoding: br|Content-Type: text/html|ETag: \"a\"|Date: @0|Age: 5|Expires: @9")
		s := Keep(get(t, plain, "X: 1"), resp)
		if len(s.Header[http.CanonicalHeaderKey(f)]) == 0 || !s.Freshness().NoCache {
			t.Errorf("%s: %v, to be validated %v", f, s.Header, s.Freshness().NoCache)
		}
	}
}

// What no lifetime and no "public" can make storable.
func TestNeverStored(t *testing.T) {
	for code := range 1000 {
		bad := code < 200 || code > 599 || code == 304 || code == 305 || code == 511
		if code >= 400 && code < 500 {
			bad = !map[int]bool{404: true, 405: true, 410: true, 414: true}[code]
		}
		if code == 206 {
			continue // depends on Content-Range
		}
		ok, _ := Storable(get(t, plain, ""), answer(code, `Cache-Control: public, max-age=9|ETag: "a"`))
		if ok == bad {
			t.Errorf("%d: %v", code, ok)
		}
		if ok, _ := Storable(get(t, plain, ""), answer(code, `Cache-Control: public|ETag: "a"|Last-Modified: @-9999`)); ok && code >= 500 && code != 501 {
			t.Errorf("%d without lifetime is stored", code)
		}
	}
}

func TestBypass(t *testing.T) {
	good := get(t, plain, "User-Agent: x|Accept: */*|X-Forwarded-For: 10.0.0.1|Connection: keep-alive, TE|Upgrade: h2c")
	if why := Bypass(good); why != "" {
		t.Errorf("ordinary request: %s", why)
	}
	for what, spoil := range map[string]func(r *Request){
		"method":     func(r *Request) { r.Method = "POST" },
		"no method":  func(r *Request) { r.Method = "" },
		"lower case": func(r *Request) { r.Method = "get" },
		"content":    func(r *Request) { r.Body = true },
		"no key":     func(r *Request) { r.Key = Key{} },
		"host":       func(r *Request) { r.Host = "evil.example" },
		"port":       func(r *Request) { r.Host = "example.org:8443" },
		"bad host":   func(r *Request) { r.Host = "example.org/x" },
		"user":       func(r *Request) { r.URL = parse(t, "https://u:p@example.org/file") },
		"websocket":  func(r *Request) { r.Header.Set("Upgrade", "websocket") },
		"severed":    func(r *Request) { r.Header.Add("Connection", "Accept-Encoding") },
	} {
		r := get(t, plain, "")
		if spoil(&r); Bypass(r) == "" {
			t.Errorf("%s meets the cache", what)
		}
	}
	for _, f := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Forwarded-Host", "x-forwarded-host", "X_Forwarded_Host",
		"X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Scheme", "X-Forwarded-Proto", "X-Forwarded-Port", "Forwarded", "X-Host",
		"X-Forwarded-Uri", "X_Forwarded_Method", "X-Original-Uri", "X-Middleware-Prefetch", "Proxy"} {
		r := get(t, plain, f+": x")
		if Bypass(r) == "" {
			t.Errorf("%s meets the cache", f)
		}
		s := stored(t, 200, "Cache-Control: max-age=60", "")
		if d := Decide(r, []*Stored{s}, noon); d.Verdict != Miss || d.Fwd != FwdBypass {
			t.Errorf("%s: %+v", f, d)
		}
		if ok, _ := Storable(r, answer(200, "Cache-Control: max-age=60, public")); ok {
			t.Errorf("%s is stored", f)
		}
	}
	for _, host := range []string{"example.org", "EXAMPLE.org:443", ""} {
		r := get(t, plain, "")
		if r.Host = host; Bypass(r) != "" {
			t.Errorf("%q: %s", host, Bypass(r))
		}
	}
}

// RFC 9111 §3.1 and RFC 9110 §7.6.1.
func TestKeep(t *testing.T) {
	req := get(t, plain, "Accept-Encoding: gzip|Foo: 1|Cookie: secret|Range: bytes=5-")
	s := Keep(req, answer(206, `Cache-Control: public, no-cache="X-One"|Vary: Foo|ETag: "a"|Content-Range: bytes 5-9/10|Content-Length: 5`+
		"|Connection: X-Hop|X-Hop: 1|Keep-Alive: 1|TE: x|Upgrade: x|Proxy-Authenticate: x|Proxy-Authentication-Info: x|Set-Cookie: a=b|Set-Cookie2: a=b"+
		"|WWW-Authenticate: x|Authentication-Info: x|Via: 1.1 cdn|X-One: 1|X-Two: 2|Age: 5"))
	want := fields(`Cache-Control: public, no-cache="X-One"|Vary: Foo|ETag: "a"|Via: 1.1 cdn|X-Two: 2|Age: 5|Date: @0`)
	if fmt.Sprint(s.Header) != fmt.Sprint(want) {
		t.Errorf("kept %v, want %v", s.Header, want)
	}
	if s.Status != http.StatusOK || s.Total != 10 || s.Complete || s.Held != nil {
		t.Errorf("%+v", s)
	}
	if fmt.Sprint(s.Select) != fmt.Sprint(fields("Accept-Encoding: gzip|Foo: 1")) {
		t.Errorf("selecting fields: %v", s.Select)
	}
	resp := answer(200, "Cache-Control: max-age=60|X: 1")
	shared := Keep(req, resp)
	if shared.Header["X"][0] = "2"; resp.Header.Get("X") != "1" {
		t.Error("what is kept shares its fields with the response")
	}
	if p := Personal(fields("Set-Cookie: a=b|X: 1")); fmt.Sprint(p) != fmt.Sprint(fields("Set-Cookie: a=b")) || Personal(fields("X: 1")) != nil {
		t.Errorf("personal: %v", p)
	}
}
