package rules

import (
	"net/http"
	"time"

	ranges "dtpx/range"
)

// Verdict is what to do with a request.
type Verdict int

const (
	Miss           Verdict = iota // go to the origin; nothing stored is of use
	Serve                         // answer from what is stored
	ServeStale                    // answer from what is stored, and validate it in the background
	Validate                      // ask the origin about what is stored
	GatewayTimeout                // 504: only-if-cached, and nothing may be used (RFC 9111 §5.2.1.7)
)

// Fwd is why a request goes forward: the fwd parameter of RFC 9211 §2.2.
type Fwd string

const (
	FwdBypass   Fwd = "bypass"
	FwdMethod   Fwd = "method"
	FwdURIMiss  Fwd = "uri-miss"
	FwdVaryMiss Fwd = "vary-miss"
	FwdMiss     Fwd = "miss"
	FwdRequest  Fwd = "request"
	FwdStale    Fwd = "stale"
	FwdPartial  Fwd = "partial"
)

// Decision is a verdict and its reason. At is the stored response that it is
// about, -1 for none. Fwd is empty when the verdict is to serve.
type Decision struct {
	Verdict Verdict
	At      int
	Fwd     Fwd
	Why     string // for people: the detail of Cache-Status
}

// Decide says what a shared cache that has these stored responses for the key
// does with a request (RFC 9111 §4). Preconditions and Range are looked at by
// Evaluate after it, except that several ranges never are answered here. Where
// the Answer is not Held, the rest is to be fetched by Completion, whether the
// verdict is to serve or to validate.
func Decide(req Request, have []*Stored, now time.Time) Decision {
	d := decide(req, have, now)
	if d.Verdict == Miss || d.Verdict == Validate {
		if OnlyIfCached(req.Header) {
			d.Verdict = GatewayTimeout
		}
	}
	return d
}

// OnlyIfCached reports that the client wants no answer that the origin has to be
// asked for, in part or by any condition either: Decide has not looked for that.
func OnlyIfCached(h http.Header) bool { return requestDirectives(h).onlyIfCached }

func decide(req Request, have []*Stored, now time.Time) Decision {
	ask := requestDirectives(req.Header)
	if why := Bypass(req); why != "" {
		if why == "method" {
			return Decision{Miss, -1, FwdMethod, ""}
		}
		return Decision{Miss, -1, FwdBypass, why}
	}
	if ask.noStore {
		return Decision{Miss, -1, FwdRequest, "no-store"}
	}
	if kind, _, _ := ranges.ParseRange(req.Header["Range"]); kind == ranges.RangeOther && req.Method == http.MethodGet {
		return Decision{Miss, -1, FwdRequest, "not a single byte range"}
	}
	if len(have) == 0 {
		return Decision{Miss, -1, FwdURIMiss, ""}
	}
	at := choose(req.Header, have)
	if at < 0 {
		return Decision{Miss, -1, FwdVaryMiss, ""}
	}
	d := usable(req, ask, have[at], now)
	d.At = at
	return d
}

// usable applies freshness and what the client says about it (RFC 9111 §4.2,
// §5.2.1).
func usable(req Request, ask directives, s *Stored, now time.Time) Decision {
	f := s.Freshness()
	age, left := f.Age(now), f.Left(now)
	switch {
	case req.Key.Signed:
		return validate(FwdStale, "signed URL")
	case s.Invalid:
		return validate(FwdStale, "invalidated")
	case f.NoCache:
		return validate(FwdStale, "no-cache in the response")
	case ask.noCache:
		return validate(FwdRequest, "no-cache")
	case f.Heuristic && ranges.ByPerson(req.Header):
		return validate(FwdRequest, "credentials, and no explicit lifetime")
	case ask.maxAge != none && age > seconds(ask.maxAge) && !reload(ask, f, left):
		return validate(FwdRequest, "max-age")
	case ask.minFresh != none && left < seconds(ask.minFresh):
		return validate(FwdRequest, "min-fresh")
	case left > 0:
		return Decision{Verdict: Serve}
	}
	return stale(ask, f, -left)
}

// stale is RFC 9111 §4.2.4 for an origin that can be asked. A client that gives
// max-age does not want what is stale, unless it says max-stale.
func stale(ask directives, f Freshness, by time.Duration) Decision {
	switch {
	case f.MustRevalidate:
		return validate(FwdStale, "must-revalidate")
	case ask.maxStale != none && by <= seconds(ask.maxStale):
		return Decision{Verdict: Serve, Why: "max-stale"}
	case f.StaleWhileRevalidate > 0 && by <= f.StaleWhileRevalidate && ask.maxAge == none:
		return Decision{Verdict: ServeStale, Why: "stale-while-revalidate"}
	}
	return validate(FwdStale, "")
}

func validate(fwd Fwd, why string) Decision { return Decision{Verdict: Validate, Fwd: fwd, Why: why} }

// reload reports a browser's plain reload of something immutable, which needs no
// validation while it is fresh (RFC 8246 §2.1). no-cache, a forced reload, does.
func reload(ask directives, f Freshness, left time.Duration) bool {
	return f.Immutable && ask.maxAge == 0 && left > 0
}

// standIn is how long a stale response stands in for an origin that does not
// answer where the response does not say: RFC 9111 §4.2.4 sets no limit.
const standIn = 24 * time.Hour

// StaleOnError reports whether s may be used although it is stale, because the
// origin answered with status or, if that is 0, could not be reached (RFC 9111
// §4.2.4, §4.3.3; RFC 5861 §4).
func StaleOnError(req Request, s *Stored, status int, now time.Time) bool {
	f, ask := s.Freshness(), requestDirectives(req.Header)
	by := -f.Left(now)
	switch {
	case !failure(status) || failure(s.Status) || req.Key.Signed || s.Invalid || Bypass(req) != "" || !s.Selects(req.Header):
		return false
	case f.NoCache || f.MustRevalidate && by >= 0 || f.Heuristic && ranges.ByPerson(req.Header):
		return false
	case ask.noCache || ask.noStore || ask.minFresh != none:
		return false
	case ask.staleIfError != none && by <= seconds(ask.staleIfError):
		return true // the client's own wish
	case ask.maxAge != none && f.Age(now) > seconds(ask.maxAge) && ask.maxStale == none:
		return false
	case ask.maxStale != none && by > seconds(ask.maxStale):
		return false
	case f.StaleIfError >= 0:
		return by <= f.StaleIfError
	}
	return by <= standIn
}
