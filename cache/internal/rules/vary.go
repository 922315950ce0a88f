package rules

import (
	"net/http"
	"net/textproto"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// varyFields are the members of Vary, canonical, sorted and each once; star
// says that "*" is among them, which never matches (RFC 9111 §4.1).
func varyFields(h http.Header) (fields []string, star bool) {
	for _, l := range h["Vary"] {
		for _, f := range listMembers(l) {
			star = star || f == "*"
			fields = append(fields, textproto.CanonicalMIMEHeaderKey(f))
		}
	}
	sort.Strings(fields)
	return slices.Compact(fields), star
}

// Selecting are the fields of a request that selected its response: those in
// Vary, to be stored with it, and what servers forget to name: Accept-Encoding, and
// Origin where the response does not say whose pages may read it.
func Selecting(resp, req http.Header) http.Header {
	h := http.Header{}
	fields, _ := varyFields(resp)
	if fields = append(fields, "Accept-Encoding"); !has(resp, allowOrigin) {
		fields = append(fields, "Origin")
	}
	for _, f := range fields {
		if lines := req[f]; len(lines) > 0 {
			h[f] = slices.Clone(lines)
		}
	}
	return h
}

// SecondaryKey is equal for requests that select the same response according
// to resp's Vary (RFC 9111 §4.1), and for no others.
func SecondaryKey(resp, req http.Header) string {
	fields, _ := varyFields(resp)
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(f)
		if has(req, f) {
			b.WriteByte('=')
			b.WriteString(strconv.Quote(normalise(f, req[f]))) // no value can look like two fields
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Selects reports whether s may answer a request with these fields.
func (s *Stored) Selects(req http.Header) bool {
	fields, star := varyFields(s.Header)
	if star {
		return false
	}
	for _, f := range fields {
		if !sameField(f, s.Select[f], req[f]) {
			return false
		}
	}
	return s.allows(req) && s.Readable(req)
}

const allowOrigin = "Access-Control-Allow-Origin"

// allows reports that a page of another site may read s if the server would let it
// read what it sent for this request (Fetch, CORS protocol and HTTP caches): many
// answer to Origin and forget to say that they vary by it. Who sends no Origin is not
// concerned.
func (s *Stored) allows(req http.Header) bool {
	asks, allowed := req["Origin"], s.Header[allowOrigin]
	switch {
	case len(asks) == 0 || len(allowed) == 1 && allowed[0] == "*":
		return true
	case len(allowed) == 0:
		return slices.Equal(s.Select["Origin"], asks)
	}
	return slices.Equal(allowed, asks)
}

// sameField compares two requests by one selecting field. A field that is absent
// matches only where it is absent, too.
func sameField(f string, a, b []string) bool {
	return slices.Equal(a, b) || len(a) > 0 && len(b) > 0 && normalise(f, a) == normalise(f, b)
}

// Readable reports whether the client can read s's content coding. Where Vary
// names Accept-Encoding it says so itself.
func (s *Stored) Readable(req http.Header) bool {
	codings := s.Header["Content-Encoding"]
	if len(codings) == 0 {
		return true
	}
	const f = "Accept-Encoding"
	if sameField(f, s.Select[f], req[f]) {
		return true
	}
	for _, l := range codings {
		for _, c := range listMembers(l) {
			if !accepts(req[f], c) {
				return false
			}
		}
	}
	return true
}

// accepts reports that Accept-Encoding names coding with a weight above 0.
func accepts(lines []string, coding string) bool {
	for _, m := range strings.Split(normalise("Accept-Encoding", lines), ",") {
		name, weight, _ := strings.Cut(m, ";q=")
		if name == canonicalCoding(strings.ToLower(coding)) {
			return weight != "0"
		}
	}
	return false
}

// choose is the stored response to use for a request, -1 if none matches: the
// most recent of those that do (RFC 9111 §4). One without Vary does not count
// when a newer one has Vary: its own was forgotten.
func choose(req http.Header, have []*Stored) int {
	best := -1
	for i, s := range have {
		if s.Selects(req) && !forgotVary(s, have) && (best < 0 || newer(s, have[best])) {
			best = i
		}
	}
	return best
}

func forgotVary(s *Stored, have []*Stored) bool {
	if has(s.Header, "Vary") {
		return false
	}
	return slices.ContainsFunc(have, func(o *Stored) bool { return has(o.Header, "Vary") && newer(o, s) })
}

// newer compares by Date, then by when they came.
func newer(a, b *Stored) bool {
	da, ok1 := dateField(a.Header, "Date")
	db, ok2 := dateField(b.Header, "Date")
	if ok1 && ok2 && !da.Equal(db) {
		return da.After(db)
	}
	return a.Received.After(b.Received)
}

// normalise gives values with the same meaning the same form, as far as RFC 9111
// §4.1 permits: lines are combined and space around commas goes. Of the two
// fields whose grammar is known and that every client sends, order and case go,
// too; neither has a meaning (RFC 9110 §12.5.3, §12.5.4).
func normalise(field string, lines []string) string {
	switch field {
	case "Accept-Encoding":
		return weighted(lines, canonicalCoding)
	case "Accept-Language":
		return weighted(lines, func(s string) string { return s })
	case "Cookie", "User-Agent", "Authorization", "Referer", "Origin":
		return strings.Join(lines, ", ") // no lists: a comma in them is a comma
	}
	var members []string
	for _, l := range lines {
		members = append(members, quotedMembers(l)...)
	}
	return strings.Join(members, ",")
}

// quotedMembers splits a list at the commas that are not in quoted strings.
func quotedMembers(s string) (members []string) {
	add := func(m string) {
		if m = strings.Trim(m, " \t"); m != "" {
			members = append(members, m)
		}
	}
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			add(s[start:i])
			start = i + 1
		}
	}
	add(s[start:])
	return members
}

// weighted is a list with weights (RFC 9110 §12.4.2) in one form: lower case,
// sorted, "q=1" left out.
func weighted(lines []string, name func(string) string) string {
	var members []string
	for _, l := range lines {
		for _, m := range listMembers(strings.ToLower(l)) {
			item, param, _ := strings.Cut(m, ";")
			if item = name(strings.Trim(item, " \t")); item == "" {
				members = append(members, m) // malformed
				continue
			}
			if q := weight(strings.Trim(param, " \t")); q != "" {
				item += ";" + q
			}
			members = append(members, item)
		}
	}
	sort.Strings(members)
	return strings.Join(slices.Compact(members), ",")
}

// weight writes "q=0.50" as "q=0.5" and "q=1.0" as nothing. What is no weight
// stays as it is.
func weight(param string) string {
	q, ok := strings.CutPrefix(param, "q=")
	if !ok || !isWeight(q) {
		return param
	}
	if strings.Contains(q, ".") {
		q = strings.TrimRight(strings.TrimRight(q, "0"), ".")
	}
	if q == "1" {
		return ""
	}
	return "q=" + q
}

// isWeight is qvalue of RFC 9110 §12.4.2.
func isWeight(q string) bool {
	whole, part, dot := strings.Cut(q, ".")
	switch {
	case whole != "0" && whole != "1" || len(part) > 3 || strings.Trim(part, "0123456789") != "":
		return false
	}
	return whole == "0" || !dot || strings.Trim(part, "0") == ""
}

// canonicalCoding: x-gzip and x-compress are the same as those without x-
// (RFC 9110 §8.4.1).
func canonicalCoding(c string) string {
	switch c {
	case "x-gzip", "x-compress":
		return c[2:]
	}
	return c
}
