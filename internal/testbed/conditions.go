package testbed

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// precondition is RFC 9110 §13.2.2 without If-Range: 0 means go on, else the status.
func precondition(r *http.Request, tag string, modified time.Time) int {
	h := r.Header
	if m := h.Get("If-Match"); m != "" {
		if !listed(m, tag, strongMatch) {
			return http.StatusPreconditionFailed
		}
	} else if t, err := http.ParseTime(h.Get("If-Unmodified-Since")); err == nil && !modified.IsZero() && modified.After(t) {
		return http.StatusPreconditionFailed
	}
	if m := h.Get("If-None-Match"); m != "" {
		if listed(m, tag, weakMatch) {
			return http.StatusNotModified
		}
	} else if t, err := http.ParseTime(h.Get("If-Modified-Since")); err == nil && !modified.IsZero() && !modified.After(t) {
		return http.StatusNotModified
	}
	return 0
}

// ifRange says whether Range may be obeyed (RFC 9110 §13.1.5).
func ifRange(r *http.Request, tag string, modified time.Time) bool {
	v := r.Header.Get("If-Range")
	if v == "" {
		return true
	}
	if strings.HasPrefix(v, `"`) || strings.HasPrefix(v, "W/") {
		return strongMatch(v, tag)
	}
	t, err := http.ParseTime(v)
	return err == nil && !modified.IsZero() && modified.Equal(t)
}

func strongMatch(a, b string) bool { return a == b && strings.HasPrefix(a, `"`) }

func weakMatch(a, b string) bool {
	return a != "" && strings.TrimPrefix(a, "W/") == strings.TrimPrefix(b, "W/")
}

// listed knows only tags without commas, which are all that this origin makes.
func listed(field, tag string, match func(a, b string) bool) bool {
	for s := range strings.SplitSeq(field, ",") {
		if s = strings.TrimSpace(s); tag != "" && (s == "*" || match(s, tag)) {
			return true
		}
	}
	return false
}

// parseRange reads a Range field. ok is false if it is to be ignored; parts is
// empty if none can be satisfied.
func parseRange(field string, size int64) (parts []part, ok bool) {
	list, found := strings.CutPrefix(field, "bytes=")
	if !found {
		return nil, false
	}
	for spec := range strings.SplitSeq(list, ",") {
		a, b, dash := strings.Cut(strings.TrimSpace(spec), "-")
		if !dash {
			return nil, false
		}
		x, valid := parseSpec(a, b, size)
		if !valid {
			return nil, false
		}
		if x.n > 0 {
			parts = append(parts, x)
		}
	}
	return parts, true
}

func parseSpec(a, b string, size int64) (part, bool) {
	if a == "" {
		n, err := strconv.ParseInt(b, 10, 64)
		n = min(n, size)
		return part{size - n, n}, err == nil && n >= 0
	}
	first, err := strconv.ParseInt(a, 10, 64)
	if err != nil || first < 0 {
		return part{}, false
	}
	last := size - 1
	if b != "" {
		if last, err = strconv.ParseInt(b, 10, 64); err != nil || last < first {
			return part{}, false
		}
	}
	return part{first, max(0, min(last, size-1)-first+1)}, true
}
