package rules

import (
	"net/http"
	"net/url"
)

// Invalidated are the URLs whose stored responses an answered request ends
// (RFC 9111 §4.4): none unless the method is unsafe or unknown and the status no
// error. Location and Content-Location count only within the origin, so that no
// site can empty another one's entries.
func Invalidated(method string, target *url.URL, status int, h http.Header) (urls []*url.URL) {
	if safe(method) || status < 200 || status > 399 {
		return nil
	}
	urls = append(urls, target)
	for _, f := range []string{"Location", "Content-Location"} {
		if len(h[f]) != 1 {
			continue
		}
		u, err := target.Parse(h[f][0])
		if err == nil && sameOrigin(u, target) && u.String() != target.String() {
			urls = append(urls, u)
		}
	}
	return urls
}

// safe are the safe methods of IANA's registry that are in use.
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "PROPFIND", "REPORT", "SEARCH", "QUERY":
		return true
	}
	return false
}

func sameOrigin(a, b *url.URL) bool {
	x, err1 := origin(a)
	y, err2 := origin(b)
	return err1 == nil && err2 == nil && x == y
}
