package rules

import (
	"net/http"
	"time"

	ranges "dtpx/range"
)

// AnswerKind is what a request gets of a stored response.
type AnswerKind int

const (
	Whole         AnswerKind = iota // the stored status and all of it
	Part                            // 206 with Range
	NotModified                     // 304
	Unsatisfiable                   // 416
	Elsewhere                       // only the origin can say
)

// Answer is the result of the preconditions and of Range.
type Answer struct {
	Kind  AnswerKind
	Range ranges.Range // of the representation; End is -1 while its length is not known
	Held  bool         // all bytes of it are stored
}

// Evaluate applies the request's preconditions and its Range to s, in the order
// of RFC 9110 §13.2.2. If-Match and If-Unmodified-Since are the origin's to
// refuse (RFC 9111 §4.3.2): where they do not hold here, it is asked.
//
// Several ranges, or ones of another unit, are Elsewhere: who asks for a few
// pieces of a large file would not be served by the whole of it.
func Evaluate(req Request, s *Stored) Answer {
	whole := Answer{Kind: Whole, Range: ranges.Range{End: s.Total}, Held: s.Complete}
	if s.Status < 200 || s.Status > 299 {
		return whole // RFC 9110 §13.2.1
	}
	switch {
	case !holdsForOrigin(req.Header, s):
		return Answer{Kind: Elsewhere}
	case notModified(req.Header, s):
		return Answer{Kind: NotModified, Held: true}
	case req.Method != http.MethodGet || s.Status != http.StatusOK || !has(req.Header, "Range") || !ifRange(req.Header, s):
		return whole
	}
	return part(req.Header["Range"], s, whole)
}

func part(field []string, s *Stored, whole Answer) Answer {
	kind, r, suffix := ranges.ParseRange(field)
	switch {
	case kind != ranges.RangeOne || s.Total < 0:
		return Answer{Kind: Elsewhere}
	case s.Total == 0 && suffix > 0:
		return whole // satisfiable, but a 206 cannot say so
	}
	r, ok := resolve(r, suffix, s.Total)
	if !ok {
		return Answer{Kind: Unsatisfiable, Held: true}
	}
	return Answer{Kind: Part, Range: r, Held: s.holds(r)}
}

// holdsForOrigin is If-Match (RFC 9110 §13.1.1) and, without it,
// If-Unmodified-Since (§13.1.4).
func holdsForOrigin(req http.Header, s *Stored) bool {
	if has(req, "If-Match") {
		tags, star := parseETags(req["If-Match"])
		t, ok := etagOf(s.Header)
		return star || ok && matches(tags, t, etag.strongly)
	}
	since, ok := singleDate(req, "If-Unmodified-Since")
	if !ok {
		return true
	}
	modified, ok := dateField(s.Header, "Last-Modified")
	return !ok || !modified.After(since)
}

// notModified is If-None-Match (RFC 9110 §13.1.2) and, without it,
// If-Modified-Since (§13.1.3).
func notModified(req http.Header, s *Stored) bool {
	if has(req, "If-None-Match") {
		tags, star := parseETags(req["If-None-Match"])
		t, ok := etagOf(s.Header)
		return star || ok && matches(tags, t, etag.weakly)
	}
	since, ok := singleDate(req, "If-Modified-Since")
	return ok && !s.modified().After(since)
}

// modified is when the representation changed last, as far as is known: without
// Last-Modified it is the Date, or when it came (RFC 9111 §4.3.2).
func (s *Stored) modified() time.Time {
	if t, ok := dateField(s.Header, "Last-Modified"); ok {
		return t
	}
	return generated(s.Header, s.Received)
}

// ifRange is If-Range (RFC 9110 §13.1.5). A date counts if it is exactly
// Last-Modified and that is strong: a minute older than Date, the margin of
// RFC 9110 §8.8.2.2.
func ifRange(req http.Header, s *Stored) bool {
	lines := req["If-Range"]
	if len(lines) == 0 {
		return true
	}
	if len(lines) > 1 {
		return false
	}
	if want, ok := parseDate(lines[0]); ok {
		modified, ok1 := dateField(s.Header, "Last-Modified")
		date, ok2 := dateField(s.Header, "Date")
		return ok1 && ok2 && modified.Equal(want) && date.Sub(modified) >= time.Minute
	}
	want, ok1 := parseETag(lines[0])
	have, ok2 := etagOf(s.Header)
	return ok1 && ok2 && want.strongly(have)
}

// singleDate is a date in a precondition, which is ignored if it is not one
// (RFC 9110 §13.1.3).
func singleDate(h http.Header, f string) (time.Time, bool) {
	if len(h[f]) != 1 {
		return time.Time{}, false
	}
	return parseDate(h[f][0])
}
