package ranges

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ContentRange is the value of a Content-Range header field (RFC 9110 §14.4).
type ContentRange struct {
	Range
	Total int64 // -1 when the sender does not know it ("*")
}

var errContentRange = errors.New("malformed Content-Range")

// ParseContentRange reads "bytes first-last/total". An unsatisfied range
// ("bytes */n") is an error, as is everything a sender must not generate.
func ParseContentRange(s string) (ContentRange, error) {
	unit, rest, ok := strings.Cut(strings.TrimSpace(s), " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return ContentRange{}, errContentRange
	}
	span, total, ok := strings.Cut(strings.TrimSpace(rest), "/")
	if !ok {
		return ContentRange{}, errContentRange
	}
	first, last, ok := strings.Cut(span, "-")
	if !ok {
		return ContentRange{}, errContentRange
	}
	a, err1 := position(first)
	b, err2 := position(last)
	cr := ContentRange{Range{Start: a, End: b + 1}, -1}
	if err1 != nil || err2 != nil || b < a {
		return ContentRange{}, errContentRange
	}
	if total != "*" {
		n, err := position(total)
		if err != nil || n <= b {
			return ContentRange{}, errContentRange
		}
		cr.Total = n
	}
	return cr, nil
}

// position reads digits only: ParseInt alone would take "+1", and sizes near
// 2^63 would overflow when 1 is added.
func position(s string) (int64, error) {
	if s == "" || len(s) > 18 || strings.Trim(s, "0123456789") != "" {
		return 0, errContentRange
	}
	return strconv.ParseInt(s, 10, 64)
}

// RangeKind says what a Range request field asks for.
type RangeKind int

const (
	RangeNone  RangeKind = iota // no field, or one that a server must ignore
	RangeOne                    // one range
	RangeOther                  // several ranges or another unit: not ours to touch
)

// ParseRange reads a Range request field (RFC 9110 §14.2). suffix is n of
// "bytes=-n", otherwise 0; r.End is -1 for an open end.
func ParseRange(fields []string) (kind RangeKind, r Range, suffix int64) {
	if len(fields) == 0 {
		return RangeNone, Range{}, 0
	}
	unit, set, ok := strings.Cut(fields[0], "=")
	if len(fields) > 1 || !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || strings.Contains(set, ",") {
		return RangeOther, Range{}, 0
	}
	first, last, ok := strings.Cut(strings.TrimSpace(set), "-")
	if !ok {
		return RangeOther, Range{}, 0
	}
	if first == "" {
		n, err := position(last)
		if err != nil || n == 0 {
			return RangeOther, Range{}, 0
		}
		return RangeOne, Range{}, n
	}
	a, err := position(first)
	if err != nil {
		return RangeOther, Range{}, 0
	}
	if last == "" {
		return RangeOne, Range{Start: a, End: -1}, 0
	}
	b, err := position(last)
	if err != nil || b < a {
		return RangeOther, Range{}, 0
	}
	return RangeOne, Range{Start: a, End: b + 1}, 0
}

// resolve turns a parsed range into positions of a resource of total bytes.
// It is empty when it cannot be satisfied.
func resolve(r Range, suffix, total int64) Range {
	if suffix > 0 {
		return Range{Start: max(0, total-suffix), End: total}
	}
	if r.End < 0 || r.End > total {
		r.End = total
	}
	return r
}

// formatRange is the Range field that asks for r.
func formatRange(r Range) string { return fmt.Sprintf("bytes=%d-%d", r.Start, r.End-1) }

func formatContentRange(r Range, total int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", r.Start, r.End-1, total)
}
