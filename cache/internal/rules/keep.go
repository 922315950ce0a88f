package rules

import (
	"iter"
	"maps"
	"net/http"
	"net/textproto"
	"time"

	ranges "dtpx/range"
)

// hopFields belong to one connection (RFC 9110 §7.6.1). Trailer and TE are
// there because what they announce is not kept.
var hopFields = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Proxy-Authenticate", "Proxy-Authorization", // RFC 9111 §3.1
}

// personalFields were made for the client that asked, and are neither kept nor
// handed to another one.
var personalFields = []string{"Set-Cookie", "Set-Cookie2", "Authentication-Info", "Proxy-Authentication-Info", "Www-Authenticate"}

// Personal are the fields of an answer for the client alone whose request was
// forwarded, nil if there are none: after a 304 they go beside Respond's.
func Personal(h http.Header) (p http.Header) {
	for _, f := range personalFields {
		if has(h, f) {
			if p == nil {
				p = http.Header{}
			}
			p[f] = h[f]
		}
	}
	return p
}

// Keep is the stored form of a response that is Storable. Complete and Held say
// that nothing is there yet.
func Keep(req Request, resp Response) Stored {
	s := Stored{
		Status: resp.Status, Header: keptHeader(resp), Select: Selecting(resp.Header, req.Header),
		Requested: resp.Requested, Received: resp.Received, Total: total(resp),
	}
	if resp.Status == http.StatusPartialContent {
		s.Status = http.StatusOK
		s.Header.Del("Content-Range")
		s.Header.Del("Content-Length")
	}
	return s
}

// total is the length of the representation, -1 if it is not known.
func total(resp Response) int64 {
	switch resp.Status {
	case http.StatusPartialContent:
		if cr, ok := contentRange(resp.Header); ok {
			return cr.Total
		}
		return -1
	case http.StatusNoContent:
		return 0
	}
	n, _ := contentLength(resp.Header)
	return n
}

func contentRange(h http.Header) (cr ranges.ContentRange, ok bool) {
	lines := h["Content-Range"]
	if len(lines) != 1 {
		return cr, false
	}
	cr, err := ranges.ParseContentRange(lines[0])
	return cr, err == nil
}

// keptHeader is what RFC 9111 §3.1 stores of a header section. Via stays: it
// tells how the response came here. A Date is added where there is none that
// can be read (RFC 9110 §6.6.1).
func keptHeader(resp Response) http.Header {
	h := http.Header{}
	maps.Copy(h, resp.Header.Clone())
	strip(h, resp.Header)
	for _, f := range responseDirectives(resp.Header).noCacheFields {
		h.Del(f)
	}
	if _, ok := dateField(h, "Date"); !ok {
		h.Set("Date", formatDate(resp.Received))
	}
	return h
}

// strip removes from h what a message with the header section from is not kept with.
func strip(h, from http.Header) {
	for f := range connectionOptions(from) {
		delete(h, f)
	}
	for _, f := range hopFields {
		delete(h, f)
	}
	for _, f := range personalFields {
		delete(h, f)
	}
}

// connectionOptions are the fields that Connection names, canonical.
func connectionOptions(h http.Header) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, l := range h["Connection"] {
			for _, f := range listMembers(l) {
				if !yield(textproto.CanonicalMIMEHeaderKey(f)) {
					return
				}
			}
		}
	}
}

func formatDate(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

// unchanged are the fields that a newer header section does not replace
// (RFC 9111 §3.2): what is stored depends on them, or they describe the message
// that brought them and not the representation. The entity tag stays because it
// has matched: a server that compresses on the fly makes its tags weak in a 304.
var unchanged = []string{"Content-Length", "Content-Encoding", "Content-Range", "Content-Digest", "Etag"}

// update is RFC 9111 §3.2: old with the fields of resp. Age is that of the
// newer response, present or not.
func update(old http.Header, resp Response) http.Header {
	h := old.Clone()
	newer := keptHeader(resp)
	for _, f := range unchanged {
		delete(newer, f)
	}
	delete(h, "Age")
	for f, lines := range newer {
		h[f] = lines
	}
	return h
}
