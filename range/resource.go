package ranges

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Validator identifies one version of a resource: a strong entity tag, or,
// within one running download only, a Last-Modified date that is old enough
// (RFC 9110 §8.8.2.2).
type Validator struct {
	ETag         string
	LastModified string
}

// IsZero reports that there is no usable validator.
func (v Validator) IsZero() bool { return v == Validator{} }

// field is the value for If-Range.
func (v Validator) field() string {
	if v.ETag != "" {
		return v.ETag
	}
	return v.LastModified
}

func (v Validator) String() string { return v.field() }

// validatorOf finds the strong validator of a response.
func validatorOf(h http.Header) Validator {
	if tag := strongETag(h); tag != "" {
		return Validator{ETag: tag}
	}
	// A date counts only if the resource cannot have changed twice within
	// the second it names: 60 s is RFC 9110's own margin for weak clocks.
	lm, err1 := http.ParseTime(h.Get("Last-Modified"))
	date, err2 := http.ParseTime(h.Get("Date"))
	if err1 == nil && err2 == nil && date.Sub(lm) >= time.Minute {
		return Validator{LastModified: h.Get("Last-Modified")}
	}
	return Validator{}
}

// strongETag is the response's entity tag if there is exactly one, it is well
// formed and strong.
func strongETag(h http.Header) string {
	tags := h.Values("Etag")
	if len(tags) != 1 {
		return ""
	}
	t := strings.TrimSpace(tags[0])
	if len(t) < 2 || t[0] != '"' || t[len(t)-1] != '"' || strings.Contains(t[1:len(t)-1], `"`) {
		return ""
	}
	return t
}

// version is the identity that every byte of a download must have: decision 2
// of the design. It never changes once the download has begun.
type version struct {
	validator Validator
	weak      string // the entity tag that came with a date
	total     int64
	encoding  string
}

// eligible decides whether a response can be slice 0. It returns the range of
// the resource that its body is, or the reason why it is not accelerated.
func eligible(resp *http.Response, asked RangeKind) (v version, r Range, reason string) {
	v = version{validator: validatorOf(resp.Header), encoding: encodingOf(resp.Header)}
	if v.validator.ETag == "" {
		v.weak = resp.Header.Get("Etag")
	}
	switch {
	case resp.StatusCode == http.StatusPartialContent && asked == RangeOne:
		cr, err := ParseContentRange(resp.Header.Get("Content-Range"))
		if err != nil || cr.Total < 0 || len(resp.Header.Values("Content-Range")) != 1 {
			return v, r, "the server did not say which part of how much it sent"
		}
		if resp.ContentLength >= 0 && resp.ContentLength != cr.Len() {
			return v, r, "Content-Length and Content-Range disagree"
		}
		v.total, r = cr.Total, cr.Range
	case resp.StatusCode == http.StatusOK:
		if resp.ContentLength < 0 {
			return v, r, "unknown length"
		}
		v.total, r = resp.ContentLength, Range{Start: 0, End: resp.ContentLength}
	default:
		return v, r, "status " + fmt.Sprint(resp.StatusCode)
	}
	switch {
	case v.validator.IsZero():
		return v, r, "no strong validator: parts of different versions could not be told apart"
	case strings.EqualFold(strings.TrimSpace(resp.Header.Get("Accept-Ranges")), "none"):
		return v, r, "the server says it serves no ranges"
	case twofold(resp):
		return v, r, "its length is said in two ways"
	case len(resp.Trailer) > 0:
		return v, r, "the response has trailers"
	}
	return v, r, ""
}

func encodingOf(h http.Header) string {
	return strings.ToLower(strings.Join(h.Values("Content-Encoding"), ","))
}

// fault is how a response broke the rules; status is 0 for a transport error.
type fault struct {
	status     int
	retryAfter time.Duration
	renewed    bool // the target had expired and there is a fresh one
	behind     bool // it may have been the answer to another request on its connection
	err        error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// check compares the answer to a request for r with the version. It is the one
// place that decides whether bytes may be joined.
func (v version) check(resp *http.Response, r Range) *fault {
	bad := func(format string, args ...any) *fault {
		return &fault{status: resp.StatusCode, retryAfter: retryAfter(resp.Header), err: fmt.Errorf(format, args...)}
	}
	if resp.StatusCode != http.StatusPartialContent {
		return bad("status %d instead of 206", resp.StatusCode)
	}
	fields := resp.Header.Values("Content-Range")
	if len(fields) != 1 {
		return bad("%d Content-Range fields", len(fields))
	}
	cr, err := ParseContentRange(fields[0])
	switch {
	case err != nil:
		return bad("%w", err)
	case cr.Range != r:
		return bad("range %v instead of %v", cr.Range, r)
	case cr.Total != v.total:
		return bad("total %d instead of %d", cr.Total, v.total)
	case resp.ContentLength >= 0 && resp.ContentLength != r.Len():
		return bad("length %d instead of %d", resp.ContentLength, r.Len())
	case encodingOf(resp.Header) != v.encoding:
		return bad("content encoding %q instead of %q", encodingOf(resp.Header), v.encoding)
	case v.validator.ETag != "" && strongETag(resp.Header) != v.validator.ETag:
		return bad("another entity tag")
	case v.validator.ETag == "" && resp.Header.Get("Last-Modified") != v.validator.LastModified:
		return bad("another modification date")
	case v.validator.ETag == "" && differs(resp.Header.Get("Etag"), v.weak):
		return bad("another weak entity tag")
	}
	return nil
}

// differs reports that a weak tag, where there is one, is not the one that came with the
// first answer: too weak to join bytes by, it is strong enough to keep them apart.
func differs(tag, first string) bool { return tag != "" && tag != first }

// retryAfter reads a Retry-After field in either form; 0 if there is none.
func retryAfter(h http.Header) time.Duration {
	s := h.Get("Retry-After")
	if n, err := position(s); err == nil {
		return time.Duration(min(n, 3600)) * time.Second
	}
	at, err1 := http.ParseTime(s)
	now, err2 := http.ParseTime(h.Get("Date"))
	if err1 != nil || err2 != nil {
		return 0
	}
	return min(max(0, at.Sub(now)), time.Hour)
}
