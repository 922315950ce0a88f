package rules

import (
	"fmt"
	"net/url"
	"strings"
)

// KeyRule is one of the user's: on hosts that Host matches, query parameters
// that one of Drop matches do not belong to the key. In both, * is any text and ?
// any one character.
type KeyRule struct {
	Host string
	Drop []string
}

// The bounds of a rule, so that matching costs nothing to speak of.
const (
	mostGlob = 128
	mostDrop = 64
)

// Validate refuses a rule that cannot match and the one that would make all
// queries of all hosts the same.
func (r KeyRule) Validate() error {
	if err := validGlob(r.Host, "/?#@:&= \t"); err != nil {
		return fmt.Errorf("read host of key rule: %w", err)
	}
	if len(r.Drop) == 0 || len(r.Drop) > mostDrop {
		return fmt.Errorf("read key rule: %d parameters to drop, want 1 to %d", len(r.Drop), mostDrop)
	}
	for _, d := range r.Drop {
		if err := validGlob(d, "&=# \t"); err != nil {
			return fmt.Errorf("read parameter of key rule: %w", err)
		}
		if bare(d) && bare(strings.ReplaceAll(r.Host, ".", "")) {
			return fmt.Errorf("read key rule: it would drop every query of every host")
		}
	}
	return nil
}

func bare(glob string) bool { return strings.Trim(glob, "*?") == "" }

// validGlob: a ? is a wildcard, so that only the other characters of never are
// looked for.
func validGlob(s, never string) error {
	switch {
	case s == "":
		return fmt.Errorf("it is empty")
	case len(s) > mostGlob:
		return fmt.Errorf("it is longer than %d", mostGlob)
	case strings.ContainsAny(s, strings.ReplaceAll(never, "?", "")) || !printableURL(s):
		return fmt.Errorf("%q has a character that cannot be there", s)
	}
	return nil
}

// dropped is the query without what the rules drop for u's host.
func dropped(rules []KeyRule, u *url.URL, query string) string {
	host := lowerASCII(u.Hostname())
	for _, r := range rules {
		if glob(lowerASCII(r.Host), host) {
			query = without(query, func(name string) bool {
				for _, d := range r.Drop {
					if glob(d, name) {
						return true
					}
				}
				return false
			})
		}
	}
	return query
}

// glob matches all of s. It goes back to the last * only, which is enough, and
// takes at most len(pattern) × len(s) steps.
func glob(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
