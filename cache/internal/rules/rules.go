// Package rules decides what a shared HTTP cache may do: RFC 9111 with the
// conditional and range rules of RFC 9110, and what a cache that faces
// strangers must add. All of it is functions of values: no I/O, no clock.
//
//	KeyOf      which resource is asked for                  key.go, signed.go, keyrule.go
//	Bypass     may this request meet the cache at all       bypass.go
//	Decide     answer from what is stored, ask first, or go decide.go, freshness.go, vary.go
//	Evaluate   whole, part, 304 or 416                      evaluate.go, etag.go
//	Respond    the header section of that answer            respond.go, cachestatus.go
//	Storable   may this response be kept                    storable.go, status.go
//	Keep       what is kept of it                           keep.go
//	Revalidation, Completion  ask the origin about it, or for the rest  validate.go
//	Freshen, FreshenByHead, Refresh: what its answer updates            validate.go, refresh.go
//	Invalidated, Version, Digests: what a write ends, what may be joined, what is vouched for
//
// The order is that of a request; model_test.go walks through it.
//
// Duplicate and malformed directives: of one that is given twice the first
// counts (RFC 9111 §4.2.1). What restricts is understood in any form ("no-store=1",
// "max-age=0;private"), what permits only in its exact one, and a lifetime that
// cannot be read is 0.
//
// In the public cache-tests suite all required and optimal behaviours are kept
// but these, by choice:
//   - Set-Cookie and Set-Cookie2 are never stored, and a response with one only
//     where it is "public" (headers-store-Set-Cookie*, other-set-cookie): a
//     session must not reach another user through a server's mistake.
//   - 400, 403, 499 and other 4xx about one request are never stored (status-400-fresh,
//     status-499-fresh), and 5xx but 501 only with an explicit lifetime
//     (heuristic-599-cached): cache-poisoned denial of service.
//   - A 206 needs a strong validator and a Content-Range that agrees with its
//     length (partial-store-partial-*): parts of two versions are never joined.
//   - Responses to POST are not stored (method-POST).
//   - Accept-Language selects by equality only (vary-normalise-lang-select):
//     RFC 9111 §4.1 lets q-values choose among what matches, not match.
//   - Without Last-Modified the Date is what If-Modified-Since is compared with
//     (RFC 9111 §4.3.2); conditional-lm-fresh-no-lm wants a 304 to one from
//     before it.
//   - A transfer coding that nobody knows (headers-store-Transfer-Encoding) never
//     comes here: the length of such a body is not certain, and the proxy says 502.
//
// Where the suite asks only what a cache does: Age is ignored when it is no
// number; "no-store" in a request keeps it from being answered here, too; a
// no-cache or private list is honoured by leaving out the fields, or by not
// storing at all; an unreachable origin is stood in for a day.
// CDN-Cache-Control and Surrogate-Control are ignored, with their tests (cdn-*):
// this is no CDN. Interim responses (interim-*) never come here.
//
// Not guaranteed: that a resource which varies by a field that its Vary does not
// name is told apart, but for Accept-Encoding and Origin; that a field not listed in
// bypass.go does not change what an origin sends.
package rules

import (
	"net/http"
	"net/url"
	"time"

	ranges "dtpx/range"
)

// Request is what the rules need to know of a client's request.
type Request struct {
	Method string
	URL    *url.URL    // absolute; its authority is the origin that is asked
	Host   string      // the Host field; "" where there is none to compare
	Header http.Header // as received, Connection included; canonical names
	Body   bool        // it has content
	Key    Key         // KeyOf(URL)
}

// Response is a final response of an origin.
type Response struct {
	Status    int
	Header    http.Header // as received, Connection and Content-Length included
	Encodings []string    // Transfer-Encoding
	Trailers  bool        // trailer fields are announced
	// Requested and Received are request_time and response_time of RFC 9111
	// §4.2.3: when the request was sent, and when the header section had come.
	Requested, Received time.Time
}

// Stored is a response as it is kept. A 206 is kept as an incomplete 200
// (RFC 9111 §3.3).
type Stored struct {
	Status              int
	Header              http.Header // without what Keep removes
	Select              http.Header // the request's selecting fields, see Selecting
	Requested, Received time.Time   // of the response, or of the last one that validated it
	Total               int64       // length of the representation, -1 if not known
	Complete            bool        // all of it is there
	Held                []ranges.Range
	// Held is sorted and disjoint: what is there while it is not Complete.

	// Running says that it has been fetched without a break since this answer was
	// begun on, so that a strong date is a validator (see Version).
	Running bool

	// Invalid entries must be validated before use (RFC 9111 §4.3.5, §4.4).
	Invalid bool

	fresh *Freshness // once it was asked for
}

// holds reports whether all bytes of r are there.
func (s *Stored) holds(r ranges.Range) bool {
	if s.Complete || r.Empty() {
		return true
	}
	for _, h := range s.Held {
		if h.Start <= r.Start && r.End <= h.End {
			return true
		}
	}
	return false
}
