package rules

import (
	"net/http"
	"slices"
	"strings"

	ranges "dtpx/range"
)

// Storable decides whether a shared cache may keep resp, the answer to req
// (RFC 9111 §3). why is the reason when it may not.
func Storable(req Request, resp Response) (ok bool, why string) {
	d := responseDirectives(resp.Header)
	for _, rule := range []func(Request, Response, directives) string{
		byRequest, byDirectives, byStatus, byFraming, byCredentials, byIdentity, byUse,
	} {
		if why := rule(req, resp, d); why != "" {
			return false, why
		}
	}
	return true, ""
}

func byRequest(req Request, _ Response, _ directives) string {
	switch {
	case req.Method == http.MethodHead:
		return "HEAD has no content"
	case requestDirectives(req.Header).noStore:
		return "no-store in the request"
	case oversized(req.Header):
		return "the request's header section is larger than origins take"
	}
	return Bypass(req)
}

// byDirectives: must-understand takes no-store back where the status is
// understood (RFC 9111 §5.2.2.3). private with a list is taken as private.
func byDirectives(_ Request, resp Response, d directives) string {
	switch {
	case d.mustUnderstand && !understood(resp.Status):
		return "must-understand"
	case d.noStore && !d.mustUnderstand:
		return "no-store"
	case d.private:
		return "private"
	}
	return ""
}

// byStatus is the last condition of RFC 9111 §3, and stricter for 5xx.
func byStatus(_ Request, resp Response, d directives) string {
	explicit := d.maxAge != none || d.sMaxAge != none || len(resp.Header["Expires"]) > 0
	switch keeping(resp.Status) {
	case never:
		return "status"
	case byLifetime:
		if !explicit && (!d.public || resp.Status >= 500) {
			return "status without an explicit lifetime"
		}
	}
	return ""
}

// byFraming refuses what another recipient could read differently (request
// smuggling, RFC 9112 §6.3) and what would be lost in storing it.
func byFraming(_ Request, resp Response, _ directives) string {
	_, ok := contentLength(resp.Header)
	sized := len(resp.Header["Content-Length"]) > 0
	switch {
	case sized && !ok:
		return "conflicting lengths"
	case sized && (len(resp.Encodings) > 0 || len(resp.Header["Transfer-Encoding"]) > 0):
		return "a length and a transfer coding"
	case len(resp.Encodings) > 1 || len(resp.Encodings) == 1 && resp.Encodings[0] != "chunked":
		return "transfer coding"
	case resp.Trailers || len(resp.Header["Trailer"]) > 0:
		return "trailers"
	}
	for f := range resp.Header {
		if tokenLen(f) != len(f) { // "Content-Length " is another length to some (RFC 9112 §5.1)
			return "a malformed field name"
		}
	}
	for f := range connectionOptions(resp.Header) {
		if needed(f) {
			return "Connection names an end-to-end field"
		}
	}
	return ""
}

// needed are the fields whose removal would make another response of it.
func needed(f string) bool {
	switch f {
	case "Cache-Control", "Vary", "Expires", "Date", "Age", "Etag", "Last-Modified", "Location", "Set-Cookie":
		return true
	}
	return strings.HasPrefix(f, "Content-")
}

// contentLength is the length that a header section states, -1 without one; ok
// is false if it states none that is certain.
func contentLength(h http.Header) (n int64, ok bool) {
	n = -1
	for _, l := range h["Content-Length"] {
		for m := range strings.SplitSeq(l, ",") {
			v, valid := size(strings.Trim(m, " \t"))
			if !valid || n >= 0 && v != n {
				return -1, false
			}
			n = v
		}
	}
	return n, true
}

func size(s string) (n int64, ok bool) {
	if s == "" || len(s) > 18 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	for i := range len(s) {
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// byCredentials keeps one user's answer from the others: RFC 9111 §3.5 for
// Authorization; for cookies and tokens the response must say that it is for
// all. A response that sets a cookie is made for one.
func byCredentials(req Request, resp Response, d directives) string {
	if has(req.Header, "Authorization") && !d.shared {
		return "Authorization"
	}
	vary, _ := varyFields(resp.Header)
	for _, f := range append([]string{"Cookie", "Authorization"}, ranges.TokenFields...) {
		if !has(req.Header, f) {
			continue
		}
		if f != "Authorization" && !d.open {
			return f
		}
		if slices.Contains(vary, f) {
			return "Vary names " + f
		}
	}
	if (has(resp.Header, "Set-Cookie") || has(resp.Header, "Set-Cookie2")) && !d.public {
		return "Set-Cookie"
	}
	return ""
}

// byIdentity: parts, and what a signed URL brought, are told apart by a strong
// validator and the total length only.
func byIdentity(req Request, resp Response, _ directives) string {
	if _, star := varyFields(resp.Header); star {
		return "Vary: *"
	}
	if resp.Status == http.StatusPartialContent {
		return byRange(req, resp)
	}
	if req.Key.Signed && resp.Status == http.StatusOK {
		if _, ok := VersionOf(resp); !ok {
			return "a signed URL without strong validator and length"
		}
	}
	if req.Key.Signed && resp.Status != http.StatusOK {
		return "status for a signed URL"
	}
	return ""
}

// byRange: a 206 must be the one range that was asked for.
func byRange(req Request, resp Response) string {
	v, ok := VersionOf(resp)
	if !ok {
		return "a part without strong validator, length and one Content-Range"
	}
	got, _ := contentRange(resp.Header)
	kind, want, suffix := ranges.ParseRange(req.Header["Range"])
	if kind != ranges.RangeOne {
		return "a part that was not asked for"
	}
	want, ok = resolve(want, suffix, v.Total)
	if n, _ := contentLength(resp.Header); n >= 0 && n != got.Len() {
		return "Content-Range and Content-Length disagree"
	}
	if !ok || got.Start != want.Start || got.End > want.End {
		return "a part other than the one asked for"
	}
	return ""
}

// byUse leaves out what could never be used again. A digest in the URL says
// what the content is, so that such a resource needs no validator.
func byUse(req Request, resp Response, d directives) string {
	f := freshnessOf(resp.Status, resp.Header, d, resp.Requested, resp.Received)
	_, modified := dateField(resp.Header, "Last-Modified")
	_, tagged := etagOf(resp.Header)
	if f.Lifetime > 0 || f.StaleWhileRevalidate > 0 || f.StaleIfError > 0 || modified || tagged || req.Key.Digest.Hex != "" {
		return ""
	}
	return "neither lifetime nor validator"
}

func has(h http.Header, f string) bool { return len(h[f]) > 0 }
