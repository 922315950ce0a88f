package rules

import (
	"errors"
	"net/url"
	"strings"
)

// mostKey bounds a key. No client or server of note takes longer URLs.
const mostKey = 8 << 10

var errKey = errors.New("the URL cannot be a key")

// Key is what stored responses are found by, beside Vary.
type Key struct {
	// ID is the URL in one form, or "signed " and the URL without its
	// signature: the two never meet.
	ID string

	// Signed says that the parameters of a signing scheme were left out. Who
	// may read, and what, is then the origin's to say each time: stored bytes
	// are used only after an answer to this very request that Confirms them.
	Signed bool

	// Digest is that of the content when the URL is made of it.
	Digest Digest
}

// KeyOf makes the key of an absolute http or https URL: scheme and host in lower
// case, no default port, no fragment, and hexadecimal digits of escapes in upper
// case. That much is the same resource for certain (RFC 3986 §6.2.2); nothing is
// decoded, and dot segments stay what the origin will be asked for. Of the query
// go first what a rule drops, then the parameters of signing schemes.
func KeyOf(u *url.URL, rules []KeyRule) (Key, error) {
	at, err := origin(u)
	if err != nil {
		return Key{}, err
	}
	path, ok := wirePath(u)
	if !ok {
		return Key{}, errKey
	}
	query, signed := unsign(dropped(rules, u, u.RawQuery))
	k := Key{ID: at + upperEscapes(path), Signed: signed, Digest: digestInPath(path)}
	if query != "" || u.ForceQuery {
		k.ID += "?" + upperEscapes(query)
	}
	if signed {
		k.ID = "signed " + k.ID // no URL has a space
	}
	if len(k.ID) > mostKey {
		return Key{}, errKey
	}
	return k, nil
}

// wirePath is the path as it goes to the origin. What a request line cannot
// carry is no path.
func wirePath(u *url.URL) (path string, ok bool) {
	path = u.EscapedPath()
	if path == "" {
		path = "/"
	}
	ok = path[0] == '/' && printableURL(path) && !strings.ContainsAny(path, "?#") &&
		printableURL(u.RawQuery) && !strings.Contains(u.RawQuery, "#")
	return path, ok
}

func printableURL(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// origin is "scheme://authority" (RFC 9110 §4.3.1).
func origin(u *url.URL) (string, error) {
	scheme := strings.ToLower(u.Scheme)
	if scheme != "http" && scheme != "https" || u.Opaque != "" {
		return "", errKey
	}
	a, err := authority(scheme, u.Host)
	return scheme + "://" + a, err
}

// authority is host and port in one form (RFC 3986 §6.2.2.1, §6.2.3). The host
// is taken as given, IDNA or not.
func authority(scheme, hostport string) (string, error) {
	host, port := hostport, ""
	if i := strings.LastIndexByte(hostport, ':'); i > strings.LastIndexByte(hostport, ']') {
		host, port = hostport[:i], hostport[i+1:]
	}
	if !isHost(host) || len(port) > 5 || strings.Trim(port, "0123456789") != "" {
		return "", errKey
	}
	if port != "" {
		if port = strings.TrimLeft(port, "0"); port == "" {
			return "", errKey
		}
	}
	host = lowerASCII(host)
	if port == "" || port == "80" && strings.EqualFold(scheme, "http") || port == "443" && strings.EqualFold(scheme, "https") {
		return host, nil
	}
	return host + ":" + port, nil
}

func isHost(s string) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		return ok && inner != "" && !strings.ContainsFunc(inner, func(r rune) bool { return !isAddressRune(r) })
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f || notInHost[s[i]] {
			return false
		}
	}
	return s != ""
}

var notInHost = func() (no [256]bool) {
	for _, c := range []byte(`/?#@\<>"^{}|%[]:` + "`") {
		no[c] = true
	}
	return no
}()

// isAddressRune includes those of a zone.
func isAddressRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(":.%-_~", r)
}

func lowerASCII(s string) string {
	upper := false
	for i := range len(s) {
		upper = upper || 'A' <= s[i] && s[i] <= 'Z'
	}
	if !upper {
		return s
	}
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// upperEscapes writes %2f as %2F (RFC 3986 §6.2.2.1) and leaves what is no
// escape alone.
func upperEscapes(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' && isHexByte(b[i+1]) && isHexByte(b[i+2]) {
			b[i+1], b[i+2] = upper(b[i+1]), upper(b[i+2])
			i += 2
		}
	}
	return string(b)
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'f' {
		return c - 'a' + 'A'
	}
	return c
}

func isHexByte(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
