package rules

import (
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// overrides are request fields that some servers and frameworks obey although
// they are no part of any cache's key. An attacker who sends one makes the
// origin answer something else, and a cache would hand that to everybody (cache
// poisoning), or make it an error for everybody (CPDoS). X-Forwarded-For is not
// among them: it names the client, every proxy in front of us adds it, and what
// it changes is not what is stored as public.
var overrides = []string{
	// Another method: GET becomes POST or DELETE, or a 405 or 501.
	"X-Http-Method-Override", "X-Http-Method", "X-Method-Override",
	// Another host: links, redirects and scripts point to the attacker.
	"X-Forwarded-Host", "X-Forwarded-Server", "X-Forwarded-Port", "X-Host", "X-Original-Host", "X-Http-Host-Override", "Forwarded",
	// Another path: the answer of a page that the key does not name.
	"X-Original-Url", "X-Rewrite-Url", "X-Forwarded-Path", "X-Forwarded-Prefix",
	// Another scheme: redirects to where the client already is, for ever.
	"X-Forwarded-Scheme", "X-Forwarded-Proto", "X-Forwarded-Protocol", "X-Forwarded-Ssl", "X-Url-Scheme", "X-Scheme", "Front-End-Https",
}

// mostHeader is the size from which on servers refuse a header section (8 KiB
// in nginx and Apache). Refusals of longer ones are not always a 431.
const mostHeader = 8 << 10

// Bypass says why a request is neither answered from the cache nor its response
// stored; empty if it is not so.
func Bypass(req Request) string {
	switch {
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		return "method"
	case req.Key.ID == "":
		return "no key"
	case req.Body:
		return "the request has content, which is not in the key" // RFC 9110 §9.3.1
	case req.URL.User != nil:
		return "user information in the URL"
	case req.Host != "" && !sameAuthority(req.URL, req.Host):
		return "Host is not the origin"
	case upgrades(req.Header):
		return "upgrade"
	case severs(req.Header):
		return "Connection names an end-to-end field"
	}
	if overridden(req.Header) {
		return "override field"
	}
	return ""
}

// overridden also knows the names with underscores, which CGI and its
// successors cannot tell from those with hyphens.
func overridden(h http.Header) bool {
	for f := range h {
		if strings.Contains(f, "_") {
			f = textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(f, "_", "-"))
		}
		if slices.Contains(overrides, f) {
			return true
		}
	}
	return false
}

func sameAuthority(u *url.URL, host string) bool {
	a, err1 := authority(u.Scheme, u.Host)
	b, err2 := authority(u.Scheme, host)
	return err1 == nil && err2 == nil && a == b
}

// upgrades reports a request for another protocol, such as a WebSocket. h2c is
// what curl offers along with ordinary requests.
func upgrades(h http.Header) bool {
	for _, l := range h["Upgrade"] {
		for _, p := range listMembers(l) {
			if !strings.EqualFold(p, "h2c") {
				return true
			}
		}
	}
	return false
}

// severs reports a Connection field that makes proxies remove a field which is
// meant for the origin (RFC 9110 §7.6.1 forbids it). The origin then answers a
// request that is not the one the key was made of.
func severs(h http.Header) bool {
	for f := range connectionOptions(h) {
		switch f {
		case "Close", "Keep-Alive", "Upgrade", "Te", "Trailer", "Http2-Settings", "Proxy-Connection":
		default:
			return true
		}
	}
	return false
}

// oversized reports a header section that origins may refuse.
func oversized(h http.Header) bool {
	n := 0
	for f, lines := range h {
		for _, l := range lines {
			n += len(f) + len(l) + len(": \r\n")
		}
	}
	return n > mostHeader
}
