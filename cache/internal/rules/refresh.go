package rules

import (
	"net/http"
	"slices"
)

// Effect says what becomes of a stored response that was refreshed.
type Effect int

const (
	Replace    Effect = iota // the updated one takes its place
	AnswerOnly               // the updated one answers this request; what is stored stays as it is
	Drop                     // the updated one answers this request; nothing of it may be stored any more
)

// Refresh is s updated by a 304, a HEAD or a 206 of its Version (RFC 9111 §3.2).
// What the origin told a client with credentials changes nothing for others,
// unless it says that it is for all.
func Refresh(s *Stored, req Request, resp Response) (updated Stored, e Effect) {
	updated = *s
	updated.fresh = nil
	updated.Header = update(s.Header, resp)
	selects := s.Selects(req.Header)
	if selects {
		updated.Select = Selecting(updated.Header, req.Header)
	}
	updated.Requested, updated.Received = resp.Requested, resp.Received
	updated.Invalid = false
	d := responseDirectives(updated.Header)
	fresh := Response{Status: s.Status, Header: updated.Header}
	_, star := varyFields(updated.Header)
	switch {
	case byCredentials(req, fresh, d) != "":
		return updated, AnswerOnly
	case star || byDirectives(req, fresh, d) != "":
		return updated, Drop
	case !selects && variesMore(updated.Header, s.Header):
		return updated, AnswerOnly // what the request it was stored for had there is not known
	}
	return updated, Replace
}

// variesMore reports a Vary that names a field which old's does not.
func variesMore(h, old http.Header) bool {
	fields, _ := varyFields(h)
	known, _ := varyFields(old)
	return slices.ContainsFunc(fields, func(f string) bool { return !slices.Contains(known, f) })
}

// HeadEffect is what the answer to a HEAD does to a stored response.
type HeadEffect int

const (
	HeadNothing HeadEffect = iota
	HeadUpdates            // Refresh it
	HeadEnds               // it is no longer current: Invalid
)

// FreshenByHead compares the answer to a forwarded HEAD with a stored response
// (RFC 9111 §4.3.5).
func FreshenByHead(req Request, s *Stored, resp Response) HeadEffect {
	if req.Method != http.MethodHead || resp.Status != http.StatusOK || Bypass(req) != "" || !s.Selects(req.Header) {
		return HeadNothing
	}
	n, ok := contentLength(resp.Header)
	switch {
	case s.Status != http.StatusOK, !ok, n >= 0 && s.Total >= 0 && n != s.Total:
		return HeadEnds
	case encoding(resp.Header) != encoding(s.Header), !sameValidators(s.Header, resp.Header):
		return HeadEnds
	}
	return HeadUpdates
}

// sameValidators: those that the newer response has must be the stored ones.
func sameValidators(old, newer http.Header) bool {
	if has(newer, "Etag") {
		a, ok1 := etagOf(old)
		b, ok2 := etagOf(newer)
		if !ok1 || !ok2 || a != b {
			return false
		}
	}
	if has(newer, "Last-Modified") {
		a, ok1 := dateField(old, "Last-Modified")
		b, ok2 := dateField(newer, "Last-Modified")
		return ok1 && ok2 && a.Equal(b)
	}
	return true
}
