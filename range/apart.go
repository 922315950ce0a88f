package ranges

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// What is said here of requests holds for a running download that a second client
// might join as it does for what a cache has kept: a URL and Vary do not tell them
// apart.

// overrides are request fields that some servers and frameworks obey although
// they are no part of any cache's key. An attacker who sends one makes the
// origin answer something else, and a cache would hand that to everybody (cache
// poisoning), or make it an error for everybody (CPDoS). X-Forwarded-For is not
// among them: it names the client, every proxy in front of us adds it, and what
// it changes is not what is stored as public.
var overrides = []string{
	// Another method: GET becomes POST or DELETE, or a 405 or 501.
	"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Original-Method",
	// Another host: links, redirects and scripts point to the attacker.
	"X-Host", "X-Original-Host", "X-Http-Host-Override", "X-Backend-Host", "Forwarded",
	// Another path: the answer of a page that the key does not name.
	"X-Original-Url", "X-Original-Uri", "X-Rewrite-Url", "X-Rewrite-Uri", "X-Override-Url", "X-Envoy-Original-Path", "X-Script-Name",
	// Another scheme: redirects to where the client already is, for ever.
	"X-Url-Scheme", "X-Scheme", "Front-End-Https", "Cloudfront-Forwarded-Proto",
	// What Next.js says to itself, and takes from anybody: an empty page, or its
	// data in place of it (CVE-2023-46298).
	"X-Middleware-Prefetch", "X-Middleware-Subrequest", "X-Nextjs-Data", "X-Now-Route-Matches", "X-Invoke-Path", "X-Invoke-Status", "X-Matched-Path",
	// A proxy for what the server fetches itself (httpoxy).
	"Proxy",
}

// forwarded begins the names of those that say how a proxy was asked: host, port,
// path, scheme, method and more, by another name in each framework.
const forwarded = "X-Forwarded-"

// Overridden reports a request with such a field. It also knows the names with
// underscores, which CGI and its successors cannot tell from those with hyphens.
func Overridden(h http.Header) bool {
	for f := range h {
		if strings.Contains(f, "_") {
			f = textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(f, "_", "-"))
		}
		if slices.Contains(overrides, f) || strings.HasPrefix(f, forwarded) && f != forwarded+"For" {
			return true
		}
	}
	return false
}

// TokenFields are request fields by which services know their users, beside
// Authorization and Cookie. RFC 9111 does not know them, so that a response to
// such a request must say more than "max-age" to be shared.
var TokenFields = []string{
	"X-Api-Key", "Api-Key", "X-Auth-Token", "X-Access-Token", "X-Authorization", "X-Amz-Security-Token", "X-Jfrog-Art-Api",
	"Private-Token", "Job-Token", "Deploy-Token", "X-Goog-Api-Key", "X-Goog-Iap-Jwt-Assertion", "X-Csrf-Token", "Dpop",
}

// ByPerson reports whether a request says who asks: by Authorization, Cookie or a
// token. Nobody else is asked or told about such a one.
func ByPerson(h http.Header) bool {
	return len(h["Authorization"]) > 0 || len(h["Cookie"]) > 0 ||
		slices.ContainsFunc(TokenFields, func(f string) bool { return len(h[f]) > 0 })
}

// Anonymise takes out what ByPerson looks for.
func Anonymise(h http.Header) {
	delete(h, "Authorization")
	delete(h, "Cookie")
	for _, f := range TokenFields {
		delete(h, f)
	}
}
