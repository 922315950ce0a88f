package sched

import (
	"slices"
	"time"

	"dtpx/range/internal/span"
)

// blocked is the request that owns the byte a client waits for or will wait
// for in a moment, if any; of several, the one that was heard last.
func (p *Plan) blocked() (owner *request) {
	for _, r := range p.readers {
		at := p.have.From(r.pos).End
		if r.bias > 0 || at >= r.end || at-r.pos >= p.p.MinSlice/2 {
			continue
		}
		for _, q := range p.reqs {
			if q.hedges == nil && q.pos <= at && at < q.end && (owner == nil || q.heard > owner.heard) {
				owner = q
			}
		}
		if owner != nil {
			return owner
		}
	}
	return nil
}

// deadEnd reports that s would be asked to help out q while nothing comes
// through s itself, and there is somebody else: its link may be dead.
func (p *Plan) deadEnd(q *request, s *source, now Time) bool {
	if s == q.src {
		return p.lively(s, p.p.Soft, now) == 0 && p.othersUsable(s, now)
	}
	return p.stuck(s, now) && slices.ContainsFunc(p.sources, func(o *source) bool {
		return o != q.src && p.able(o, now) && !p.stuck(o, now)
	})
}

// stuck reports that s has requests and that all of them are silent.
func (p *Plan) stuck(s *source, now Time) bool { return len(s.reqs) > 0 && p.silent(s, now) }

// hedgeHead asks s for the byte that a client is blocked on when its owner q is
// silent. A hedge may exceed the lanes by one, but the host's ceiling only where
// that is one and all hope is on a connection that has been silent for Hard.
func (p *Plan) hedgeHead(q *request, s *source, now Time) *request {
	if q == nil || q.hedge != nil || q.silence(now) < p.softAfter(q) || !p.able(s, now) {
		return nil
	}
	at := p.have.From(q.pos).End
	if p.tooBusy(s, now) || p.deadEnd(q, s, now) || !s.holds(at) || at >= q.end {
		return nil
	}
	if p.hedged >= p.p.HedgeBudget+p.p.MaxSlice/2 || s.conns()+s.lingering(now) >= max(s.limit2(), 2) || s.ceiling == 1 && q.silence(now) < p.p.Hard {
		return nil
	}
	n := min(q.end-at, p.sliceFor(s, at, now), p.allowance(s, now))
	if p.hedged+n/2 > p.p.HedgeBudget {
		return nil
	}
	p.hedged += p.p.MinSlice // what the race may cost; the loser is cut at the winner's first byte
	h := p.newRequest(s, span.Range{Start: at, End: at + n}, now)
	q.hedge, h.hedges = h, q
	if rest := (span.Range{Start: at + n, End: q.end}); !rest.Empty() {
		q.end = at + n
		p.giveBack(rest)
	}
	return h
}

func (p *Plan) othersUsable(not *source, now Time) bool {
	for _, s := range p.sources {
		if s != not && p.able(s, now) {
			return true
		}
	}
	return false
}

// late reports that a client waits for the head q, and that the rest of what it
// owns will take too long.
func (p *Plan) late(q *request, now Time) bool {
	return q != nil && q.hedge == nil && p.eta(q, now) >= p.p.HeadLate && !p.gathers(q, now)
}

// steal takes a part of the request that would end last; if the window is
// what blocks, of the one nearest to the reader.
func (p *Plan) steal(s *source, now Time) *request {
	var victim *request
	var worst time.Duration
	for _, q := range p.reqs {
		if q.hedge != nil || q.hedges != nil || q.waiting || q.cut || q.rest() == 0 {
			continue
		}
		if s.info.Only != nil && !s.info.Only.Has(span.Range{Start: q.pos, End: q.end}) {
			continue
		}
		if eta := p.eta(q, now); eta > worst {
			victim, worst = q, eta
		}
	}
	if victim == nil || p.free.Size() > 0 && worst < p.p.HeadLate/2 {
		return nil // while the window alone stands in the way, waiting is cheaper than cutting
	}
	return p.split(victim, s, p.laneRate(s), now)
}

// rescue takes a head over that is late and crawls at a small part of what its
// source's connections have shown to bring: a bad connection, not a slow source.
// It may exceed the lanes by one, never the host's ceiling.
func (p *Plan) rescue(q *request, s *source, now Time) *request {
	if !p.late(q, now) || p.rateOf(q, now) > s.best/8 || !p.able(s, now) || p.capacity(s, now) || p.tooBusy(s, now) && !p.slowed(q.src, s, now) || p.deadEnd(q, s, now) {
		return nil
	}
	if s.conns()+s.lingering(now) >= min(s.limit2(), s.lanes+1) || s.ceiling == 1 {
		return nil
	}
	return p.split(q, s, s.best, now)
}

// stillTime is how long a head may take that a player waits for.
const stillTime = 300 * time.Millisecond

// keepsWaiting reports that a player waits for the head q, which comes slowly,
// while s would bring it several times as fast: of the connections that share a
// link some get a twentieth of it. Whoever stores what comes is not in a hurry,
// and cutting costs more than waiting.
func (p *Plan) keepsWaiting(q *request, s *source, now Time) bool {
	return p.p.Shown && q != nil && q.hedge == nil && q.src != s && p.eta(q, now) >= stillTime && p.rateOf(q, now) <= s.best/3 && !p.gathers(q, now)
}

// split gives s the upper part of what q owns, such that both end together.
// vt is the rate expected of s. It returns nil where that would not save enough
// time to pay for the bytes that closing q's connection early wastes.
func (p *Plan) split(q *request, s *source, vt float64, now Time) *request {
	if q.rest() == 0 {
		return nil
	}
	vo := p.rateOf(q, now)
	delay := s.rtt
	if s.heads == 0 {
		delay = max(2*delay, 50*time.Millisecond)
	}
	rest := float64(q.rest())
	keep := vo * (delay.Seconds()*vt + rest) / (vt + vo)
	guard := p.inFlight(q, now) // it would be wasted
	if q.silence(now) >= p.softAfter(q) {
		keep, guard = 0, 0
	} else {
		keep = max(keep, guard)
		if p.following(q.src) { // and the next connection would have to gather speed
			guard += 4 * vo * q.src.rtt.Seconds()
		}
	}
	saved := (rest - keep) / vo
	if all := delay.Seconds() + rest/vt; q.ahead != nil && p.eta(q.ahead, now).Seconds() > all {
		// s would have brought it all before it is q's turn.
		keep, guard, saved = 0, 0, p.eta(q, now).Seconds()-all
	}
	at := q.pos + int64(keep)
	if saved < max(0.15, 2*delay.Seconds()) {
		return nil
	}
	if q.end-at < p.p.MinSlice && saved < p.p.SliceTime.Seconds() && !p.keepsWaiting(q, s, now) {
		return nil
	}
	if stolen := float64(q.end - at); stolen < 2*guard {
		return nil // cutting would waste about as much as it brings
	}
	r := span.Range{Start: at, End: q.end}
	if n := min(p.p.MaxSlice, p.allowance(s, now)); r.Len() > n {
		r.Start = r.End - n
	}
	q.end = r.Start
	return p.newRequest(s, r, now)
}
