package rules

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	ranges "dtpx/range"
)

// Version identifies the bytes of a representation beyond one connection: a
// strong entity tag, the total length and the content coding. Dates join bytes
// within one running download only: then it is Modified, and ETag the weak tag
// that came with it, if any.
type Version struct {
	ETag     string
	Modified string
	Total    int64
	Encoding string
}

// VersionOf is the version of a 200 or 206; ok is false when nothing may be
// joined with it (RFC 9111 §3.4).
func VersionOf(resp Response) (v Version, ok bool) {
	if resp.Status != http.StatusOK && resp.Status != http.StatusPartialContent {
		return Version{}, false
	}
	return version(resp.Header, total(resp))
}

// RunningVersionOf is VersionOf for an answer that is to go on with what is Running.
func RunningVersionOf(resp Response) (v Version, ok bool) {
	if v, ok = VersionOf(resp); ok || resp.Status != http.StatusOK && resp.Status != http.StatusPartialContent {
		return v, ok
	}
	return runningVersion(resp.Header, total(resp))
}

// Version of what is stored; ok as for VersionOf, or for RunningVersionOf if it is
// Running.
func (s *Stored) Version() (v Version, ok bool) {
	if s.Status != http.StatusOK {
		return Version{}, false
	}
	if v, ok = version(s.Header, s.Total); ok || !s.Running {
		return v, ok
	}
	return runningVersion(s.Header, s.Total)
}

// runningVersion is by a date that is strong: a minute older than Date (RFC 9110
// §8.8.2.2).
func runningVersion(h http.Header, total int64) (v Version, ok bool) {
	modified, ok1 := dateField(h, "Last-Modified")
	date, ok2 := dateField(h, "Date")
	if !ok1 || !ok2 || date.Sub(modified) < time.Minute || total < 0 {
		return Version{}, false
	}
	return Version{ETag: strings.Join(h["Etag"], ","), Modified: h["Last-Modified"][0], Total: total, Encoding: encoding(h)}, true
}

func version(h http.Header, total int64) (v Version, ok bool) {
	v = Version{ETag: strongETag(h), Total: total, Encoding: encoding(h)}
	return v, v.ETag != "" && v.Total >= 0
}

func encoding(h http.Header) string {
	return strings.ToLower(strings.Join(h["Content-Encoding"], ","))
}

// Confirms reports whether resp, fresh from the origin, proves that s is what it
// would send: the same strong entity tag and the same length, or a 304 with
// that tag and no other length. It is what a signed URL needs.
func Confirms(resp Response, s *Stored) bool {
	have, ok := s.Version()
	if !ok {
		return false
	}
	if resp.Status == http.StatusNotModified {
		n, valid := contentLength(resp.Header)
		// Servers that send "0" mean the content of the 304.
		return strongETag(resp.Header) == have.ETag && valid && (n <= 0 || n == have.Total)
	}
	got, ok := VersionOf(resp)
	return ok && got == have
}

// resolve turns a parsed Range into positions of a representation of total
// bytes. ok is false if it cannot be satisfied (RFC 9110 §14.1.2).
func resolve(r ranges.Range, suffix, total int64) (_ ranges.Range, ok bool) {
	if suffix > 0 {
		return ranges.Range{Start: max(0, total-suffix), End: total}, true
	}
	if r.End < 0 || r.End > total {
		r.End = total
	}
	return r, r.Start < total
}

func formatRange(r ranges.Range) string {
	return "bytes=" + strconv.FormatInt(r.Start, 10) + "-" + strconv.FormatInt(r.End-1, 10)
}

func formatContentRange(r ranges.Range, total int64) string {
	n := strconv.FormatInt(total, 10)
	if r.Empty() {
		return "bytes */" + n
	}
	return "bytes " + strconv.FormatInt(r.Start, 10) + "-" + strconv.FormatInt(r.End-1, 10) + "/" + n
}
