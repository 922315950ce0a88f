package ranges

import (
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// key is what running downloads are found by. One whose bytes are yet to be checked
// is only for those who will.
func (t *Transport) key(req *http.Request) string {
	u := *req.URL
	u.Fragment = ""
	key := t.Realm + " " + u.String()
	if isVouched(req.Context()) {
		key += " vouched"
	}
	return key
}

// join answers req from a download that is already running, where that is
// allowed. Public and fresh responses are shared as a shared cache would
// (RFC 9111 §3, §3.5, §4.1), also where a date is all that says which version it is, as
// that counts while it runs. Otherwise the client's own request goes out with
// the running version's entity tag: 304 proves that this client may have it
// and that it is current, and costs no body; any other answer is the client's
// own. ok is false when req has to go its own way from the start.
func (t *Transport) join(req *http.Request) (resp *http.Response, err error, ok bool) {
	d, r := t.candidate(req)
	if d == nil {
		return nil, nil, false
	}
	if d.public(req) {
		resp = d.attach(req, r, nil)
		return resp, nil, resp != nil
	}
	if d.version.validator.ETag == "" {
		return nil, nil, false // a date is nothing to ask by
	}
	ask := req.Clone(req.Context())
	ask.Header.Set("If-None-Match", d.version.validator.ETag)
	p := t.probe(ask)
	if resp, err = p.send(); err != nil {
		p.drop()
		return nil, err, true
	}
	if resp.StatusCode != http.StatusNotModified {
		p.req = p.req.Clone(p.req.Context()) // the transport may still hold the one it sent
		p.req.Header.Del("If-None-Match")
		t.Engine.redirect.note(clientOf(req.Context()).Name, req, resp)
		return t.accelerate(req, p, resp), nil, true
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	p.drop()
	if tag := strongETag(resp.Header); tag != "" && tag != d.version.validator.ETag {
		return nil, nil, false
	}
	joined := d.attach(req, r, resp.Header)
	return joined, nil, joined != nil
}

// candidate is a running download that req could share, and the range it wants.
func (t *Transport) candidate(req *http.Request) (*Download, Range) {
	for _, f := range []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if req.Header.Get(f) != "" {
			return nil, Range{}
		}
	}
	kind, r, suffix := ParseRange(req.Header.Values("Range"))
	if kind == RangeOther || Overridden(req.Header) {
		return nil, Range{}
	}
	e := t.Engine
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range e.active[t.key(req)] {
		tag := d.version.validator.field()
		if d.version.validator.ETag == "" && !d.public(req) || Overridden(d.request.Header) || !varyEqual(d.header, d.request.Header, req.Header) {
			continue
		}
		if ir := req.Header.Get("If-Range"); ir != "" && ir != tag {
			continue
		}
		want := Range{Start: 0, End: d.version.total}
		if kind == RangeOne {
			want = resolve(r, suffix, d.version.total)
		}
		if !want.Empty() && d.seekable() {
			return d, want
		}
	}
	return nil, Range{}
}

// seekable reports whether d can serve a reader anywhere. Where ranges have not
// been shown to work, slice 0 is all there is, and it serves one reader.
func (d *Download) seekable() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.closed && d.plan.Seekable()
}

// varyEqual reports whether the request fields that selected the response are
// the same in both requests. Without Vary, the fields that servers forget to
// list are compared all the same.
func varyEqual(resp, a, b http.Header) bool {
	fields := []string{"Accept-Encoding", "Accept-Language"}
	if resp.Get("Access-Control-Allow-Origin") != "*" { // made for one site's pages, or for none
		fields = append(fields, "Origin")
	}
	for _, v := range resp.Values("Vary") {
		for f := range strings.SplitSeq(v, ",") {
			if f = strings.TrimSpace(f); f == "*" {
				return false
			} else if f != "" {
				fields = append(fields, f)
			}
		}
	}
	for _, f := range fields {
		if strings.Join(a.Values(f), ",") != strings.Join(b.Values(f), ",") {
			return false
		}
	}
	return true
}

// public reports whether a shared cache could answer req with d's response
// without asking the origin.
func (d *Download) public(req *http.Request) bool {
	if ByPerson(req.Header) || ByPerson(d.request.Header) || d.header.Get("Set-Cookie") != "" {
		return false
	}
	if d.written.Load() || req.Header.Get("Pragma") != "" || req.Header.Get("Cache-Control") != "" {
		return false
	}
	age, _ := position(d.header.Get("Age"))
	return time.Since(d.began)+time.Duration(age)*time.Second < lifetime(d.header.Values("Cache-Control"))
}

// lifetime is for how long a shared cache could give out a response without asking; 0
// where it could not. What restricts counts wherever it stands, in strings and behind
// what does not belong there, too ("private; max-age=600"); of two lifetimes the
// shorter one, and one that cannot be read is none: to ask costs a question.
func lifetime(cacheControl []string) time.Duration {
	const unsaid, most = math.MaxInt64, int64(1e8)
	own, shared := int64(unsaid), int64(unsaid)
	for _, line := range cacheControl {
		for _, word := range strings.FieldsFunc(strings.ToLower(line), func(r rune) bool { return strings.ContainsRune(",; \t\"", r) }) {
			name, arg, _ := strings.Cut(word, "=")
			n, _ := position(arg)
			switch name {
			case "private", "no-store", "no-cache":
				return 0
			case "max-age":
				own = min(own, n)
			case "s-maxage":
				shared = min(shared, n)
			}
		}
	}
	if shared != unsaid { // RFC 9111 §5.2.2.10
		own = shared
	}
	if own == unsaid {
		return 0
	}
	return time.Duration(min(own, most)) * time.Second
}

// written notes that a request which is not safe has changed what running downloads of
// its URL are of (RFC 9111 §4.4): who joins one from now on asks first.
func (e *Engine) written(req *http.Request, status int) {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return
	}
	if status < 200 || status > 399 {
		return
	}
	e.writes.Add(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ds := range e.active {
		for _, d := range ds {
			if d.request.URL.String() == req.URL.String() {
				d.written.Store(true)
			}
		}
	}
}

// personalFields of a response were made for the client that asked, and are
// not handed to another one.
var personalFields = []string{"Set-Cookie", "Set-Cookie2", "Authentication-Info", "Proxy-Authentication-Info", "Www-Authenticate"}

// attach adds a reader for req and makes its response; nil if d is ending.
// newer are the fields of a 304 that update the stored ones (RFC 9111 §3.2).
func (d *Download) attach(req *http.Request, r Range, newer http.Header) *http.Response {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.err != nil {
		return nil
	}
	h := d.header.Clone()
	for _, f := range personalFields {
		h.Del(f)
	}
	for f, v := range newer {
		if f != "Content-Length" && f != "Content-Range" && f != "Content-Encoding" && f != "Transfer-Encoding" {
			h[f] = v
		}
	}
	resp := &http.Response{
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req, Header: h,
		StatusCode: http.StatusOK, ContentLength: r.Len(),
	}
	h.Del("Content-Range")
	h.Set("Content-Length", strconv.FormatInt(r.Len(), 10))
	if req.Header.Get("Range") != "" {
		resp.StatusCode = http.StatusPartialContent
		h.Set("Content-Range", formatContentRange(r, d.version.total))
	}
	resp.Status = strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode)
	h.Set(DownloadField, d.id)
	d.resumeLocked(req)
	resp.Body = d.joinLocked(req, r)
	d.joined++
	d.nudge()
	return resp
}
