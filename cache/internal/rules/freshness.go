package rules

import (
	"net/http"
	"time"
)

// A response without an explicit lifetime is fresh for a tenth of the time that
// it had not changed for (RFC 9111 §4.2.2), but a day at most. It needs a
// Last-Modified, so that URLs with a query need no rule of their own.
const (
	heuristicShare = 10
	heuristicMost  = 24 * time.Hour
)

// backwards is how far the clock may have been set back without an entry that
// was then received in the future losing its freshness.
const backwards = time.Minute

const forever = time.Duration(endless) * time.Second

// Freshness is what decides how long a stored response may be used.
type Freshness struct {
	Lifetime  time.Duration // freshness_lifetime, RFC 9111 §4.2.1
	Heuristic bool          // the cache chose it

	// NoCache needs validation for every use (RFC 9111 §5.2.2.4),
	// MustRevalidate once it is stale: must-revalidate, proxy-revalidate, s-maxage.
	NoCache, MustRevalidate bool

	Immutable            bool          // RFC 8246
	StaleWhileRevalidate time.Duration // RFC 5861 §3; 0 is none
	StaleIfError         time.Duration // RFC 5861 §4; -1 is none

	initialAge time.Duration
	received   time.Time
}

// Freshness reads what s says about itself, once: s is not to be changed after it,
// and not to be shared with other goroutines before.
func (s *Stored) Freshness() Freshness {
	if s.fresh == nil {
		f := freshnessOf(s.Status, s.Header, responseDirectives(s.Header), s.Requested, s.Received)
		s.fresh = &f
	}
	return *s.fresh
}

func freshnessOf(status int, h http.Header, d directives, requested, received time.Time) Freshness {
	f := Freshness{
		NoCache:              d.noCache,
		MustRevalidate:       d.mustRevalidate || d.sMaxAge != none,
		Immutable:            d.immutable,
		StaleWhileRevalidate: seconds(max(0, d.staleWhileRevalidate)),
		StaleIfError:         -1,
		received:             received,
	}
	if d.staleIfError != none {
		f.StaleIfError = seconds(d.staleIfError)
	}
	date := generated(h, received)
	f.initialAge = initialAge(h, date, requested, received)
	f.Lifetime, f.Heuristic = lifetime(status, h, d, date)
	return f
}

// generated is the Date, or when the response came if there is none that can be
// read (RFC 9110 §6.6.1).
func generated(h http.Header, received time.Time) time.Time {
	if date, ok := dateField(h, "Date"); ok {
		return date
	}
	return received
}

// lifetime is freshness_lifetime (RFC 9111 §4.2.1).
func lifetime(status int, h http.Header, d directives, date time.Time) (l time.Duration, heuristic bool) {
	switch {
	case d.sMaxAge != none:
		return seconds(d.sMaxAge), false
	case d.maxAge != none:
		return seconds(d.maxAge), false
	case len(h["Expires"]) > 0:
		expires, ok := dateField(h, "Expires")
		if !ok {
			return 0, false // "0" and all that is no date (RFC 9111 §5.3)
		}
		return clamp(expires.Sub(date)), false
	}
	modified, ok := dateField(h, "Last-Modified")
	if !ok || d.broken || keeping(status) != byHeuristic && !(d.public && keeping(status) == byLifetime) {
		return 0, false
	}
	return min(heuristicMost, clamp(date.Sub(modified))/heuristicShare), true
}

// initialAge is corrected_initial_age (RFC 9111 §4.2.3).
func initialAge(h http.Header, date, requested, received time.Time) time.Duration {
	apparent := clamp(received.Sub(date))
	corrected := clamp(seconds(ageField(h)) + clamp(received.Sub(requested)))
	return max(apparent, corrected)
}

// Age is current_age (RFC 9111 §4.2.3). A clock that has gone back makes it
// endless: what is received in the future cannot be told from what is old.
func (f Freshness) Age(now time.Time) time.Duration {
	resident := now.Sub(f.received)
	if resident < -backwards {
		return forever
	}
	return clamp(f.initialAge + clamp(resident))
}

// Left is how long it is still fresh; 0 or less is stale for so long.
func (f Freshness) Left(now time.Time) time.Duration { return f.Lifetime - f.Age(now) }

func seconds(n int64) time.Duration { return time.Duration(min(n, endless)) * time.Second }

// clamp keeps sums of two from overflowing (RFC 9111 §1.2.2).
func clamp(d time.Duration) time.Duration { return max(0, min(d, forever)) }
