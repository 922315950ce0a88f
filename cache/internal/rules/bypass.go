package rules

import (
	"net/http"
	"net/url"
	"strings"

	ranges "dtpx/range"
)

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
	if ranges.Overridden(req.Header) {
		return "override field"
	}
	return ""
}

func sameAuthority(u *url.URL, host string) bool {
	a, err1 := authority(u.Scheme, u.Host)
	if host == u.Host {
		return err1 == nil
	}
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
