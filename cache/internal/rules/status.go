package rules

import "net/http"

// keep says when a response of a status may be kept.
type keep int

const (
	never       keep = iota
	byLifetime       // with an explicit lifetime only
	byHeuristic      // heuristically cacheable (RFC 9110 §15.1)
)

// keeping sorts the final status codes. Of the 4xx only those are kept that are
// about the resource. The others are about one request, often about a field
// that is no part of the key: a cached 400, 413 or 431 is how one client takes
// a resource from all others (CPDoS), and 428, 429, 431 and 511 forbid it
// themselves (RFC 6585). 403 and 451 are about who asks: firewalls and servers
// say them to a Referer, a User-Agent or the address in X-Forwarded-For. Codes nobody knows count as x00 of their class
// (RFC 9110 §15).
func keeping(status int) keep {
	switch status {
	case http.StatusOK, http.StatusNonAuthoritativeInfo, http.StatusNoContent, http.StatusPartialContent,
		http.StatusMultipleChoices, http.StatusMovedPermanently, http.StatusPermanentRedirect,
		http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone, http.StatusRequestURITooLong,
		http.StatusNotImplemented:
		return byHeuristic
	case http.StatusNotModified, http.StatusUseProxy, http.StatusNetworkAuthenticationRequired:
		return never
	}
	if status >= 200 && status < 400 || status >= 500 && status < 600 {
		return byLifetime
	}
	return never
}

// understood are the codes whose caching this package implements, for
// must-understand (RFC 9111 §5.2.2.3).
func understood(status int) bool {
	switch status {
	case http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect:
		return true
	}
	return keeping(status) == byHeuristic
}

// failure reports a code that stale-if-error covers (RFC 5861 §4). 0 is an
// origin that could not be reached.
func failure(status int) bool {
	switch status {
	case 0, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
