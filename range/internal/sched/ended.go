package sched

import (
	"slices"
	"time"

	"dtpx/range/internal/span"
)

// Ended notes that req is over. closed says that its connection was closed
// before the body ended.
func (p *Plan) Ended(id ID, why Cause, retryAfter time.Duration, closed bool, now Time) {
	q := p.request(id)
	if q == nil {
		return
	}
	hedge := q.hedges != nil
	if q.meter.bins > 0 {
		q.src.freed = q.meter.rate
	}
	p.drop(q, now)
	s := q.src
	if closed {
		s.closing = append(s.closing, now)
	}
	if why != Done {
		p.lookAround()
	}
	switch why {
	case Reset:
		if q.head {
			p.beside, p.broke = 0, true
		}
		p.failed(s, retryAfter, now)
	case Overload:
		p.overloaded(s, closed, retryAfter, now)
		if hedge { // its owner is still silent: try again, but later and later
			s.heed(500*time.Millisecond<<min(s.refused, 6), now)
		}
	case Forbidden:
		if !p.shrink(s) {
			p.bench(s, retryAfter, now)
		}
	case Away:
		p.away(s, retryAfter, now)
	case Out:
		s.gone = true
	case Mismatch:
		s.wrong++
		s.lies, s.proof = s.lies+1, 0
		if s.lies > 2 || s.lies > 1 && !p.proven {
			s.gone = true
		} else {
			p.failed(s, retryAfter, now)
		}
	}
}

// drop takes q out of the plan and gives back what it did not bring.
func (p *Plan) drop(q *request, now Time) {
	p.release(q, now)
	if i, ok := slices.BinarySearchFunc(p.reqs, q.id, func(o *request, id ID) int { return int(o.id - id) }); ok {
		p.reqs = slices.Delete(p.reqs, i, i+1)
	}
	q.src.reqs = slices.DeleteFunc(q.src.reqs, func(o *request) bool { return o == q })
	p.touch(q.src)
	switch {
	case q.hedge != nil: // its hedge inherits
		q.hedge.hedges = nil
		q.hedge.end = max(q.hedge.pos, min(q.hedge.wire.End, q.end))
		p.giveBack(span.Range{Start: q.hedge.end, End: q.end})
	case q.hedges != nil:
		q.hedges.hedge = nil
		if q.pos == q.wire.Start { // it has cost nothing
			p.hedged -= p.p.MinSlice
		}
	default:
		p.giveBack(span.Range{Start: q.pos, End: q.end})
	}
	if q.adopted {
		q.src.trial.since = max(q.src.trial.since, now)
	}
	if q == p.first {
		p.first, p.engaged = nil, true
	}
}

// giveBack returns a range to the free ones as far as a reader needs it.
func (p *Plan) giveBack(r span.Range) {
	if r.Empty() {
		return
	}
	p.lookAround()
	for _, rd := range p.readers {
		for _, gap := range p.have.Missing(r.Intersect(span.Range{Start: rd.pos, End: rd.end})) {
			p.free.Add(gap)
		}
	}
	for _, q := range p.reqs {
		if q.hedges == nil {
			p.free.Remove(span.Range{Start: q.pos, End: q.end})
		}
	}
}

// lively counts the requests of s that have a verified head and have not been
// silent for longer than limit.
func (p *Plan) lively(s *source, limit time.Duration, now Time) (n int) {
	for _, q := range s.reqs {
		if q.head && q.silence(now) < limit {
			n++
		}
	}
	return n
}

// failed benches s unless others of its requests go on; then only the lane
// that failed pauses.
func (p *Plan) failed(s *source, retryAfter time.Duration, now Time) {
	if p.lively(s, p.p.Hard, now) == 0 {
		p.bench(s, retryAfter, now)
		return
	}
	s.refused++
	s.ready = max(s.ready, now+min(100*time.Millisecond<<min(s.refused, 5), 2*time.Second))
}

// overloaded learns the ceiling of s from a refusal.
func (p *Plan) overloaded(s *source, closed bool, retryAfter time.Duration, now Time) {
	if s.lingering(now) > b2i(closed) && s.refused == 0 {
		s.refused++ // it may still have counted a connection that we have just closed
		s.ready = now + 2*s.linger()
		s.heed(retryAfter, now)
		return
	}
	if s == p.sources[0] && s.heads == 0 && p.othersUsable(s, now) {
		p.away(s, retryAfter, now) // not too many connections: it never had one
		return
	}
	// Retry-After is about one connection too many: those that are served go
	// on, and there will be no new one for as long as the ceiling holds.
	if !p.shrink(s) {
		p.bench(s, retryAfter, now)
		s.heed(retryAfter, now)
	}
}

// shrink makes the requests that s bears now its ceiling. It reports false if
// there are none.
func (p *Plan) shrink(s *source) bool {
	n := s.verified()
	s.refused++
	// Those still waiting for an answer count: if one of them is refused too,
	// the ceiling sinks once more.
	s.ceiling = max(1, s.conns())
	if s.info.Ceiling > 0 {
		s.ceiling = min(s.ceiling, s.info.Ceiling)
	}
	s.lanes = min(s.lanes, s.ceiling)
	return n > 0
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
