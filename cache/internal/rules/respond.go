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
	switch a.Kind {
	case Whole:
		status, h = s.Status, wholeHeader(s)
	case Part:
		status, h = http.StatusPartialContent, wholeHeader(s)
		h.Set("Content-Range", formatContentRange(a.Range, s.Total))
		h.Set("Content-Length", strconv.FormatInt(a.Range.Len(), 10))
	case NotModified:
		status, h = http.StatusNotModified, subset(s.Header)
	case Unsatisfiable:
		return http.StatusRequestedRangeNotSatisfiable, http.Header{
			"Content-Range": {"bytes */" + strconv.FormatInt(s.Total, 10)}, "Content-Length": {"0"},
		}
	default:
		return 0, nil
	}
	if !validated || has(s.Header, "Age") {
		h.Set("Age", strconv.FormatInt(int64(s.Freshness().Age(now)/time.Second), 10))
	}
	return status, h
}

// wholeHeader removes again what Keep has removed: what is on disk may be older
// than these rules.
func wholeHeader(s *Stored) http.Header {
	h := roomy(s.Header)
	strip(h, s.Header)
	if s.Total >= 0 && s.Status != http.StatusNoContent {
		h.Set("Content-Length", strconv.FormatInt(s.Total, 10))
	} else {
		h.Del("Content-Length")
	}
	return h
}

// roomy is a copy with room for what is added on the way to the client: a map that
// grows costs more than all of its entries.
func roomy(from http.Header) http.Header {
	n := 0
	for _, v := range from {
		n += len(v)
	}
	h, values := make(http.Header, len(from)+8), make([]string, 0, n)
	for f, v := range from {
		at := len(values)
		values = append(values, v...)
		h[f] = values[at:len(values):len(values)]
	}
	return h
}

// subset adds Last-Modified where it is the only validator.
func subset(stored http.Header) http.Header {
	h := http.Header{}
	for _, f := range notModifiedFields {
		if has(stored, f) {
			h[f] = append([]string(nil), stored[f]...)
		}
	}
	if has(stored, "Last-Modified") && !has(stored, "Etag") {
		h["Last-Modified"] = append([]string(nil), stored["Last-Modified"]...)
	}
	return h
}
