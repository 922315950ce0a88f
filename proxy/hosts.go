package proxy

import (
	"net"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// rules is Intercept made ready.
type rules struct {
	enabled     bool
	only, never []glob
	learn       bool
}

func newRules(i Intercept) rules {
	return rules{enabled: i.Enabled, learn: i.Learn, only: globs(i.Only), never: globs(i.Never)}
}

// intercepts tells whether connections to host may be read.
func (r rules) intercepts(host string) bool {
	host = canonicalHost(host)
	return r.enabled && !matchAny(r.never, host) && (len(r.only) == 0 || matchAny(r.only, host))
}

// glob is a host name pattern: * stands for any run of characters (dots too),
// ? for one. "*.example.org" does not match "example.org".
type glob string

func globs(patterns []string) []glob {
	out := make([]glob, 0, len(patterns))
	for _, p := range patterns {
		out = append(out, glob(canonicalHost(p)))
	}
	return out
}

func matchAny(globs []glob, host string) bool {
	for _, g := range globs {
		if g.match(host) {
			return true
		}
	}
	return false
}

// match goes back to the last * only, so that it is linear for each of them:
// a hostile name costs at most len(g)×len(host).
func (g glob) match(s string) bool {
	p, i := 0, 0
	star, mark := -1, 0
	for i < len(s) {
		switch {
		case p < len(g) && g[p] == '*':
			star, mark = p, i
			p++
		case p < len(g) && (g[p] == '?' || g[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(g) && g[p] == '*' {
		p++
	}
	return p == len(g)
}

// canonicalHost is lower case, punycode, without trailing dot or brackets.
func canonicalHost(host string) string {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ascii, err := idna.Punycode.ToASCII(host); err == nil {
		host = ascii
	}
	return host
}

// authority is how a URL names host and port: without the default port of
// https, IPv6 in brackets.
func authority(host, port string) string {
	if port != "443" {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// sameAuthority compares a Host field with what was connected to, both https.
func sameAuthority(a, b string) bool {
	return canonicalAuthority(a) == canonicalAuthority(b)
}

func canonicalAuthority(a string) string {
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		host, port = a, "443"
	}
	return authority(canonicalHost(host), port)
}

func validPort(port string, optional bool) bool {
	if port == "" {
		return optional
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}
