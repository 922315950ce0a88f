package sched

import (
	"slices"
	"time"

	"dtpx/range/internal/span"
)

// tickTime is how often Step wants to be called while anything runs.
const tickTime = 50 * time.Millisecond

// Step decides what to do now. wake is when to call it again if nothing
// happens before; 0 means that only an event can change anything.
func (p *Plan) Step(now Time) (acts []Action, wake Time) {
	p.overslept(now)
	p.engage(now)
	around := p.looksAround(now)
	if around {
		acts = p.renew(p.giveUpSilent(acts, now), now)
		p.judge(now)
	}
	acts = p.shed(p.resume(acts, now), now)
	if p.engaged {
		acts = p.yield(acts, now)
		acts = p.fill(acts, around, now)
		if around {
			p.noteOverdrawn()
		}
	}
	p.wake = p.nextWake(now)
	return acts, p.wake
}

// yield closes a connection that waits for a full window when a reader is
// blocked on a byte that nobody fetches and no source has a lane left for it:
// a client that has paused must not starve another one.
func (p *Plan) yield(acts []Action, now Time) []Action {
	off, ok := p.starved()
	if !ok || !p.Seekable() || slices.ContainsFunc(p.sources, func(s *source) bool { return p.capacity(s, now) && s.holds(off) }) {
		return acts
	}
	for _, q := range p.reqs {
		if q.waiting && q.src.holds(off) && q.src.usable(now) && !p.worthless(q.src, now) && q.src.lingering(now) == 0 {
			p.drop(q, now)
			q.src.closing = append(q.src.closing, now)
			return append(acts, Action{Kind: Cancel, Req: q.id})
		}
	}
	return acts
}

// starved is the byte that a reader waits for although no request owns it.
func (p *Plan) starved() (off int64, ok bool) {
	for _, r := range p.readers {
		if r.waiting && p.free.Has(span.Range{Start: r.pos, End: r.pos + 1}) {
			return r.pos, true
		}
	}
	return 0, false
}

func (p *Plan) nextWake(now Time) Time {
	// Far away, where each moment counts that helpers begin earlier. Near by it would
	// be within the burst that a link lets through at first, and what one source
	// brings alone is measured then: all others would be suspected of sharing its
	// link, and set aside in turn to see.
	if at := p.headAt + p.helperDelay(); p.first != nil && !p.first.waiting && p.first.src.rtt >= distantAfter && now < at {
		return min(at, now+tickTime)
	}
	for _, q := range p.reqs {
		if !q.waiting {
			return now + tickTime
		}
	}
	if _, ok := p.starved(); ok && len(p.reqs) > 0 {
		return now + tickTime
	}
	wake := Time(0)
	for _, s := range p.sources {
		if !s.gone && s.ready > now && (wake == 0 || s.ready < wake) {
			wake = s.ready
		}
	}
	if wake == 0 && len(p.reqs) == 0 && !p.Complete() {
		return now + tickTime
	}
	return wake
}

// hungry reports that some reader could take more than it gets.
func (p *Plan) hungry(now Time) bool {
	for _, r := range p.readers {
		if r.bias == 0 && (r.waiting || p.have.From(r.pos).Len() < min(p.windowOf(r)/4, r.end-r.pos)) {
			return true
		}
	}
	return false
}

// resume lets requests go on that waited for the window.
func (p *Plan) resume(acts []Action, now Time) []Action {
	for _, q := range p.reqs {
		if !q.waiting {
			continue
		}
		next, ok := p.free.Next(q.pos, q.wire)
		room := p.windowEnd(next.Start) - next.Start
		if q == p.first {
			next, ok = span.Range{Start: q.pos, End: q.wire.End}, true
			room = p.firstEnd(q.pos) - q.pos
		}
		// Not for every few bytes that the reader takes.
		if q.cut || !ok || room >= min(p.p.MinSlice, next.Len()) || room > 0 && p.someoneWaits() {
			p.unwait(q, now)
			acts = append(acts, Action{Kind: Wake, Req: q.id})
		}
	}
	return acts
}

func (p *Plan) someoneWaits() bool {
	return slices.ContainsFunc(p.readers, func(r *reader) bool { return r.waiting })
}

// fill gives every source with a free lane something to do, or only those of
// which there is news.
func (p *Plan) fill(acts []Action, around bool, now Time) []Action {
	head := p.blocked()
	urgent := p.urgent(head, now)
	open := func(q *request) bool {
		if q != nil {
			acts = append(acts, p.openAction(q))
			head = p.blocked()
			urgent = p.urgent(head, now)
		}
		return q != nil
	}
	for _, s := range p.lookAt(around || urgent) {
		if urgent {
			open(p.follow(p.hedgeHead(head, s, now), now))
			open(p.follow(p.rescue(head, s, now), now))
		}
		for p.capacity(s, now) {
			if !open(p.follow(p.pick(head, s, now), now)) {
				p.news.idle = true
				break
			}
		}
	}
	if _, ok := p.starved(); ok {
		for _, s := range p.bySpeed() {
			open(p.follow(p.feed(s, now), now))
		}
	}
	return acts
}

// urgent reports that the byte a client waits for may need others than its owner.
func (p *Plan) urgent(head *request, now Time) bool {
	return head != nil && (head.silence(now) >= p.softAfter(head) || p.late(head, now))
}

// feed lets s go beyond its lanes by one for a byte that a reader waits for and
// nobody brings: whoever had it has failed, and until a lane is free, slices far
// ahead of the reader would come first.
func (p *Plan) feed(s *source, now Time) *request {
	off, ok := p.starved()
	if !ok || !p.able(s, now) || !s.holds(off) || p.worthless(s, now) || p.stuck(s, now) || p.tooBusy(s, now) {
		return nil
	}
	if len(s.reqs) > s.lanes || s.conns()+s.lingering(now) >= s.limit2() {
		return nil
	}
	r, ok := p.nearest(s, now)
	if !ok || r.Start != off {
		return nil
	}
	p.free.Remove(r)
	return p.newRequest(s, r, now)
}

func (p *Plan) openAction(q *request) Action {
	a := Action{Kind: Open, Req: q.id, Source: q.src.id, Range: q.wire}
	if q.ahead != nil {
		a.Behind = q.ahead.id
	}
	return a
}

// bySpeed orders sources so that the fastest take what is most urgent.
func (p *Plan) bySpeed() []*source {
	if len(p.sources) == 1 {
		return p.sources
	}
	if len(p.order) != len(p.sources) {
		p.order = slices.Clone(p.sources)
	}
	order(p.order)
	return p.order
}

// order sorts in place, by insertion: rates change slowly, and what was in order
// mostly still is, but for a place or two.
func order(sources []*source) {
	for i, s := range sources {
		s.speed = int(s.meter.now() / 1024)
		for ; i > 0 && faster(s, sources[i-1]) < 0; i-- {
			sources[i] = sources[i-1]
		}
		sources[i] = s
	}
}

func faster(a, b *source) int {
	if a.speed != b.speed {
		return b.speed - a.speed
	}
	return int(a.id - b.id)
}

// pick finds the next request for s, or nil; a client is blocked on head.
func (p *Plan) pick(head *request, s *source, now Time) *request {
	if p.late(head, now) || p.keepsWaiting(head, s, now) {
		if t := p.split(head, s, p.laneRate(s), now); t != nil {
			return t
		}
	}
	if r, ok := p.nearest(s, now); ok {
		wire := r
		if p.soleLane(s, now) {
			wire.End = p.free.From(r.Start).End
		}
		q := p.newRequest(s, wire, now)
		q.end = r.End
		p.free.Remove(r)
		return q
	}
	return p.steal(s, now)
}

// soleLane reports that s fetches all alone by one connection. It asks for all
// there is, as slice 0 did, and goes on by itself: slices would cost a round
// trip each and let the connection's congestion window fall.
func (p *Plan) soleLane(s *source, now Time) bool {
	return s.lanes == 1 && (s.ceiling == 1 || s.most == 1 || s.trial.undone || s.trial.settled) && !p.othersUsable(s, now)
}

// nearest is the missing range that is nearest ahead of a reader inside its
// window, cut to a slice of s.
func (p *Plan) nearest(s *source, now Time) (span.Range, bool) {
	var best span.Range
	bestDist := int64(-1)
	for _, r := range p.readers {
		in := span.Range{Start: r.pos, End: min(r.end, r.pos+p.windowOf(r))}
		run, ok := p.free.Next(r.pos, in)
		if s.info.Only != nil && ok {
			run, ok = p.nearestHeld(s, in)
		}
		if !ok {
			continue
		}
		if run.Len() < p.p.MinSlice && run.End == in.End && in.End < r.end {
			continue // the window moves on a little at a time; wait for a slice's worth
		}
		if left, fits := p.leaveRoom(s, run, in, now); fits {
			run = left
		} else if next, more := p.free.Next(run.End, in); more && s.info.Only == nil && next.Len() >= p.p.MinSlice {
			run = next // what lies before it comes by itself sooner than s could bring it
		}
		if d := run.Start - r.pos + r.bias; bestDist < 0 || d < bestDist {
			best, bestDist = run, d
		}
	}
	if bestDist < 0 {
		return best, false
	}
	n := min(p.sliceFor(s, best.Start, now), p.allowance(s, now))
	if best.Len()-n < p.p.MinSlice {
		n = best.Len() // no slivers
	}
	best.End = best.Start + min(n, best.Len())
	return best, true
}

// coldStart is how long a new connection takes to its first byte at the least:
// dialling and handshakes happen behind the bytes that fill the link already.
const coldStart = 100 * time.Millisecond

// leaveRoom moves the start of a run that an open request is about to flow
// into to where s would have its slice ready when that request gets there:
// the faster it flows, the farther ahead. fits is false if the run is too short
// for that.
func (p *Plan) leaveRoom(s *source, run, window span.Range, now Time) (left span.Range, fits bool) {
	for _, q := range p.reqs {
		if q.end != run.Start || q.wire.End <= q.end || q.hedges != nil || q.cut || q.waiting || q.silence(now) >= p.softAfter(q) {
			continue
		}
		n := max(p.sliceFor(s, run.Start, now), p.p.MinSlice)
		took := float64(n)/p.laneRate(s) + max(min(6*s.rtt, 4*coldStart), 3*s.rtt, coldStart).Seconds()
		room := int64(p.rateOf(q, now)*took) - q.rest()
		if p.gathers(q, now) && !p.p.Shown {
			room = max(room, p.p.Window/8-q.rest())
		}
		if room < p.p.MinSlice {
			return run, true // no slivers
		}
		last := min(run.End, window.End) - n
		if run.Start+room > last {
			return span.Range{Start: max(run.Start, last), End: run.End}, false
		}
		return span.Range{Start: run.Start + room, End: run.End}, true
	}
	return run, true
}

func (p *Plan) nearestHeld(s *source, in span.Range) (span.Range, bool) {
	for _, held := range s.info.Only.Within(in) {
		if run, ok := p.free.Next(held.Start, held); ok {
			return run, true
		}
	}
	return span.Range{}, false
}
