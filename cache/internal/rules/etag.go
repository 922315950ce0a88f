package rules

import (
	"net/http"
	"strings"
)

// etag is an entity-tag (RFC 9110 §8.8.3) as it is written. One that is not
// well formed, without quotes mostly, is kept as a weak one that equals itself
// only: its server knows it again.
type etag struct {
	text        string
	weak, valid bool
}

func parseETag(s string) (t etag, ok bool) {
	s = strings.Trim(s, " \t")
	opaque, weak := strings.CutPrefix(s, "W/")
	n := len(opaque)
	t = etag{text: s, weak: weak}
	t.valid = n >= 2 && opaque[0] == '"' && opaque[n-1] == '"' && !strings.ContainsFunc(opaque[1:n-1], notETagRune)
	return t, t.valid || s != "" && !strings.ContainsAny(s, ",\x00\r\n")
}

func notETagRune(r rune) bool { return r == '"' || r < ' ' || r == 0x7f }

// etagOf is the entity tag of a response. Several lines are none: nobody could
// say which one counts.
func etagOf(h http.Header) (t etag, ok bool) {
	if lines := h["Etag"]; len(lines) == 1 {
		return parseETag(lines[0])
	}
	return etag{}, false
}

// strongETag is the entity tag if it is a strong validator, otherwise empty.
func strongETag(h http.Header) string {
	if t, ok := etagOf(h); ok && t.valid && !t.weak {
		return t.text
	}
	return ""
}

// weakly is the weak comparison of RFC 9110 §8.8.3.2.
func (t etag) weakly(o etag) bool {
	return strings.TrimPrefix(t.text, "W/") == strings.TrimPrefix(o.text, "W/")
}

// strongly is the strong comparison.
func (t etag) strongly(o etag) bool {
	return t.valid && o.valid && !t.weak && !o.weak && t.text == o.text
}

// parseETags reads If-Match or If-None-Match over several lines. star is "*".
func parseETags(lines []string) (tags []etag, star bool) {
	for _, l := range lines {
		for m, rest := nextETag(l); m != ""; m, rest = nextETag(rest) {
			if m == "*" {
				star = true
			} else if t, ok := parseETag(m); ok {
				tags = append(tags, t)
			}
		}
	}
	return tags, star
}

// nextETag cuts off the first member: a comma within quotes is part of the tag.
func nextETag(s string) (m, rest string) {
	s = strings.TrimLeft(s, " \t,")
	n := strings.IndexByte(s, ',')
	if opaque := strings.TrimPrefix(s, "W/"); strings.HasPrefix(opaque, `"`) {
		if end := strings.IndexByte(opaque[1:], '"'); end >= 0 {
			after := len(s) - len(opaque) + end + 2
			if n = strings.IndexByte(s[after:], ','); n >= 0 {
				n += after
			}
		}
	}
	if n < 0 {
		n = len(s)
	}
	return strings.TrimRight(s[:n], " \t"), s[n:]
}

// matches reports whether one of tags equals t by the given comparison.
func matches(tags []etag, t etag, same func(a, b etag) bool) bool {
	for _, o := range tags {
		if same(o, t) {
			return true
		}
	}
	return false
}
