package rules

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// cacheName is ours in Cache-Status and never changes.
const cacheName = "dtpx"

// CacheStatus is one member of the Cache-Status field (RFC 9211 §2). Fwd empty is
// a hit.
type CacheStatus struct {
	Fwd       Fwd
	FwdStatus int           // the status that the origin sent; 0 for none
	Stored    bool          // its answer is kept
	Collapsed bool          // another client's request was waited for
	TTL       time.Duration // freshness left, see Freshness.Left
	HasTTL    bool
	Detail    string // printable ASCII; the rest is left out
}

// String is the structured field item.
func (c CacheStatus) String() string {
	b := append(make([]byte, 0, 64), cacheName...)
	if c.Fwd == "" {
		b = append(b, "; hit"...)
	} else {
		b = append(append(b, "; fwd="...), c.Fwd...)
		b = c.forward(b)
	}
	if c.HasTTL {
		b = strconv.AppendInt(append(b, "; ttl="...), int64(c.TTL/time.Second), 10)
	}
	if c.Detail != "" {
		b = append(append(append(b, `; detail="`...), printable(c.Detail)...), '"')
	}
	return string(b)
}

// forward writes the parameters that have a meaning beside fwd only.
func (c CacheStatus) forward(b []byte) []byte {
	if c.FwdStatus > 0 {
		b = strconv.AppendInt(append(b, "; fwd-status="...), int64(c.FwdStatus), 10)
	}
	if c.Stored {
		b = append(b, "; stored"...)
	}
	if c.Collapsed {
		b = append(b, "; collapsed"...)
	}
	return b
}

// Append adds c to h behind what caches nearer to the origin have said, which
// stays (RFC 9211 §2).
func (c CacheStatus) Append(h http.Header) { h.Add("Cache-Status", c.String()) }

// printable is what an sf-string may hold (RFC 8941 §3.3.3), escaped.
func printable(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s))
}
