package rules

import (
	"net/http"
	"strconv"
	"time"
)

// notModifiedFields are what a 304 has of the 200 (RFC 9110 §15.4.5).
var notModifiedFields = []string{"Cache-Control", "Content-Location", "Date", "Etag", "Expires", "Vary"}

// Respond is the status and header section of an answer from s. Content-Length
// is there when it is known. HEAD gets the same. validated says that the origin
// has just confirmed s: then Age is what it said (RFC 9111 §5.1). Via and
// Cache-Status are the caller's to add. For Elsewhere there is no answer: 0.
func Respond(s *Stored, a Answer, now time.Time, validated bool) (status int, h http.Header) {
	return RespondIn(nil, s, a, now, validated)
}

// RespondIn is Respond with the fields in h, which is empty, or nil for a new one: a
// map that is copied to where it belongs costs as much as all else here.
func RespondIn(h http.Header, s *Stored, a Answer, now time.Time, validated bool) (status int, _ http.Header) {
	if h == nil {
		h = make(http.Header, len(s.Header)+8) // what is added on the way to the client has room
	}
	switch a.Kind {
	case Whole:
		status = s.Status
		whole(h, s)
	case Part:
		status = http.StatusPartialContent
		whole(h, s)
		h.Set("Content-Range", formatContentRange(a.Range, s.Total))
		h.Set("Content-Length", strconv.FormatInt(a.Range.Len(), 10))
	case NotModified:
		status = http.StatusNotModified
		subset(h, s.Header)
	case Unsatisfiable:
		h.Set("Content-Range", "bytes */"+strconv.FormatInt(s.Total, 10))
		h.Set("Content-Length", "0")
		return http.StatusRequestedRangeNotSatisfiable, h
	default:
		return 0, nil
	}
	if !validated || has(s.Header, "Age") {
		h.Set("Age", strconv.FormatInt(int64(s.Freshness().Age(now)/time.Second), 10))
	}
	return status, h
}

// whole removes again what Keep has removed: what is on disk may be older than these
// rules.
func whole(h http.Header, s *Stored) {
	copyFields(h, s.Header)
	strip(h, s.Header)
	if s.Total >= 0 && s.Status != http.StatusNoContent {
		h.Set("Content-Length", strconv.FormatInt(s.Total, 10))
	} else {
		h.Del("Content-Length")
	}
}

// copyFields is one allocation, whatever the number of fields.
func copyFields(to, from http.Header) {
	n := 0
	for _, v := range from {
		n += len(v)
	}
	values := make([]string, 0, n)
	for f, v := range from {
		at := len(values)
		values = append(values, v...)
		to[f] = values[at:len(values):len(values)]
	}
}

// subset adds Last-Modified where it is the only validator.
func subset(h, stored http.Header) {
	for _, f := range notModifiedFields {
		if has(stored, f) {
			h[f] = append([]string(nil), stored[f]...)
		}
	}
	if has(stored, "Last-Modified") && !has(stored, "Etag") {
		h["Last-Modified"] = append([]string(nil), stored["Last-Modified"]...)
	}
}
