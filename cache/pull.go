package cache

import (
	"sync/atomic"
	"time"
)

// pull is how long the client for whom something is fetched has waited for it: where
// that is little, the fetch is as slow as that client, and not as its origin.
type pull struct {
	waited atomic.Int64 // ns, in reads that have ended
	since  atomic.Int64 // when the one that runs began, ns; 0: none
}

// began and ended surround each read.
func (p *pull) began() { p.since.Store(time.Now().UnixNano()) }

func (p *pull) ended() {
	p.waited.Add(max(0, time.Now().UnixNano()-p.since.Swap(0)))
}

// at is what has been waited up to now.
func (p *pull) at(now time.Time) time.Duration {
	d := p.waited.Load()
	if since := p.since.Load(); since > 0 {
		d += max(0, now.UnixNano()-since)
	}
	return time.Duration(d)
}

const (
	// boundTime is for how long a reader looks before it judges whom it follows.
	boundTime = time.Second
	// boundGap without waiting says that it is not bound by whom it follows.
	boundGap = boundTime / 4
)

// bound is a look at a fetch that a reader waits for, again and again.
type bound struct {
	to     *live
	began  time.Time
	waited time.Duration // l.pull.at(began)
	last   time.Time
}

// lags reports that l has come no faster than its own client wants it, for as long as
// the caller has done nothing but wait for it.
func (b *bound) lags(l *live, now time.Time) bool {
	if b.to != l || now.Sub(b.last) > boundGap {
		*b = bound{to: l, began: now, waited: l.pull.at(now), last: now}
		return false
	}
	b.last = now
	d := now.Sub(b.began)
	if d < boundTime {
		return false
	}
	waited := l.pull.at(now) - b.waited
	b.began, b.waited = now, b.waited+waited
	return waited < d/2
}
