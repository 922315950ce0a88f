package rules

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// none says that a directive with a number is absent. Numbers are seconds.
const none int64 = -1

// endless is what a larger number of seconds counts as (RFC 9111 §1.2.2).
const endless int64 = 1 << 31

// directives are what the Cache-Control fields of a message say (RFC 9111
// §5.2, RFC 5861, RFC 8246).
type directives struct {
	present bool // there is a field, whatever it says

	// These restrict, so that any form of them counts.
	noStore, noCache, private, mustRevalidate, onlyIfCached bool
	maxAge, sMaxAge, minFresh                               int64

	// These permit, so that only their exact form counts.
	public, immutable, mustUnderstand            bool
	shared                                       bool // public, must-revalidate or s-maxage: RFC 9111 §3.5
	open                                         bool // public or s-maxage
	maxStale, staleWhileRevalidate, staleIfError int64

	noCacheFields []string // of no-cache="field, field"
	broken        bool     // a quoted string has no end: nothing is certain
}

// requestDirectives includes "Pragma: no-cache", which counts only without
// Cache-Control (RFC 9111 §5.4).
func requestDirectives(h http.Header) directives {
	d := parseDirectives(h["Cache-Control"])
	if !d.present {
		d.noCache = parseDirectives(h["Pragma"]).noCache
	}
	return d
}

func responseDirectives(h http.Header) directives { return parseDirectives(h["Cache-Control"]) }

// parseDirectives reads each line by itself: a quoted string that has no end
// must not swallow the next line.
func parseDirectives(lines []string) directives {
	d := directives{maxAge: none, sMaxAge: none, minFresh: none, maxStale: none, staleWhileRevalidate: none, staleIfError: none}
	for _, line := range lines {
		for m, rest := nextMember(line); m.name != ""; m, rest = nextMember(rest) {
			d.present = true
			d.note(m)
		}
	}
	if d.broken {
		d.doubt()
	}
	return d
}

// doubt takes back what permits.
func (d *directives) doubt() {
	d.public, d.immutable, d.mustUnderstand, d.shared, d.open = false, false, false, false, false
	d.maxStale, d.staleWhileRevalidate, d.staleIfError = none, none, none
	if d.maxAge != none {
		d.maxAge = 0
	}
	if d.sMaxAge != none {
		d.sMaxAge = 0
	}
}

// member is one directive. odd says that something which does not belong there
// follows it.
type member struct {
	name, arg   string
	hasArg, odd bool
	broken      bool // the argument is a quoted string without end
}

func (d *directives) note(m member) {
	d.broken = d.broken || m.broken
	exact := !m.hasArg && !m.odd
	switch m.name {
	case "no-store":
		d.noStore = true
	case "private":
		d.private = true
	case "no-cache":
		d.noteNoCache(m)
	case "only-if-cached":
		d.onlyIfCached = true
	case "must-revalidate":
		d.mustRevalidate = true
		d.shared = d.shared || exact
	case "proxy-revalidate":
		d.mustRevalidate = true // the same for a shared cache (RFC 9111 §5.2.2.8)
	case "must-understand":
		d.mustUnderstand = d.mustUnderstand || exact
	case "immutable":
		d.immutable = d.immutable || exact
	case "public":
		d.public = d.public || exact
		d.shared, d.open = d.shared || exact, d.open || exact
	default:
		d.noteNumber(m)
	}
}

func (d *directives) noteNumber(m member) {
	n, ok := delta(m.arg)
	ok = ok && !m.odd
	strict := func(p *int64, otherwise int64) {
		if !ok {
			n = otherwise
		}
		if *p == none {
			*p = n
		}
	}
	switch m.name {
	case "max-age":
		strict(&d.maxAge, 0)
	case "s-maxage":
		strict(&d.sMaxAge, 0)
		d.shared, d.open = d.shared || ok, d.open || ok
	case "min-fresh":
		strict(&d.minFresh, endless)
	case "max-stale":
		if !m.hasArg && !m.odd {
			n, ok = endless, true // any age (RFC 9111 §5.2.1.2)
		}
		strict(&d.maxStale, none)
	case "stale-while-revalidate":
		strict(&d.staleWhileRevalidate, none)
	case "stale-if-error":
		strict(&d.staleIfError, none)
	}
}

// noteNoCache: with a list only those fields need validation (RFC 9111
// §5.2.2.4), and they are not stored; unless it would be another response without.
func (d *directives) noteNoCache(m member) {
	fields := listMembers(m.arg)
	vital := func(f string) bool {
		f = textproto.CanonicalMIMEHeaderKey(f)
		return needed(f) && f != "Set-Cookie"
	}
	if m.odd || len(fields) == 0 || slices.ContainsFunc(fields, vital) {
		d.noCache = true
		return
	}
	d.noCacheFields = append(d.noCacheFields, fields...)
}

// nextMember cuts the first directive off s; its name is empty at the end.
// Servers separate directives by semicolons, too: those before one are odd.
func nextMember(s string) (m member, rest string) {
	for s != "" && !isTokenByte(s[0]) {
		s = s[1:]
	}
	n := tokenLen(s)
	m.name, s = strings.ToLower(s[:n]), s[n:]
	if strings.HasPrefix(s, "=") {
		m.hasArg = true
		s = m.readArg(s[1:])
	}
	s = strings.TrimLeft(s, " \t")
	m.odd = s != "" && s[0] != ','
	return m, s
}

func (m *member) readArg(s string) (rest string) {
	if strings.HasPrefix(s, `"`) {
		arg, rest, ok := unquote(s)
		m.arg, m.broken = arg, !ok
		if !ok {
			return s[1:] // what is inside may be meant as directives
		}
		return rest
	}
	n := tokenLen(s)
	m.arg = s[:n]
	return s[n:]
}

// unquote reads a quoted-string at the start of s (RFC 9110 §5.6.4).
func unquote(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", s, false
}

func tokenLen(s string) int {
	n := 0
	for n < len(s) && isTokenByte(s[n]) {
		n++
	}
	return n
}

// isTokenByte is tchar of RFC 9110 §5.6.2.
func isTokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// delta reads delta-seconds (RFC 9111 §1.2.2): digits only, saturating.
func delta(s string) (n int64, ok bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	for i := range len(s) {
		n = min(endless, n*10+int64(s[i]-'0'))
	}
	return n, true
}

// listMembers are the members of a comma-separated list without quoted strings.
func listMembers(s string) (members []string) {
	for m := range strings.SplitSeq(s, ",") {
		if m = strings.Trim(m, " \t"); m != "" {
			members = append(members, m)
		}
	}
	return members
}
