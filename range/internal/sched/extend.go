package sched

import (
	"dtpx/range/internal/span"
)

// Want is how many bytes req may read next: more than 0 is a bound, 0 means to
// wait for a Wake (the reader's window is full), less than 0 to stop reading.
func (p *Plan) Want(id ID, now Time) int64 {
	q := p.request(id)
	switch {
	case q == nil || q.cut || q.pos >= q.wire.End:
		return -1
	case q == p.first && !p.engaged:
		return p.roomForFirst(q)
	case q.pos < q.end:
		return q.end - q.pos
	}
	return p.extend(q, now)
}

// roomForFirst lets slice 0 run to the end of the window.
func (p *Plan) roomForFirst(q *request) int64 {
	n := min(p.firstEnd(q.pos), q.wire.End) - q.pos
	q.waiting = n <= 0
	return max(0, n)
}

// firstEnd is how far slice 0 reads while it is alone: a small part of the
// window. More would not make the client faster, but leave the processor's
// cache on its way.
func (p *Plan) firstEnd(off int64) int64 {
	end := p.windowEnd(off)
	for _, r := range p.readers {
		end = min(end, r.pos+p.p.Ahead)
	}
	return end
}

// windowEnd is the farthest byte that a reader's window allows to fetch from
// off on; off itself if none covers it.
func (p *Plan) windowEnd(off int64) int64 {
	end := off
	for _, r := range p.readers {
		if w := min(r.end, r.pos+p.windowOf(r)); r.pos <= off && w > end {
			end = w
		}
	}
	return end
}

// extend decides how a request goes on that stands at the end of what it owns
// while the far side would send more.
func (p *Plan) extend(q *request, now Time) int64 {
	run := p.free.From(q.pos)
	run.End = min(run.End, q.wire.End, q.pos+min(p.allowance(q.src, now), q.wire.End-q.pos))
	if !run.Empty() && !q.src.held() {
		end := min(run.End, p.windowEnd(q.pos))
		if end <= q.pos {
			q.waiting = true
			return 0
		}
		p.unwait(q, now)
		n := min(end-q.pos, p.sliceFor(q.src, q.pos, now))
		if rest := run.End - q.pos - n; rest < p.p.MinSlice && run.End <= end {
			n += rest // no slivers
		}
		return p.own(q, n)
	}
	if p.mustCarry(q, now) || p.nearlyFree(q, now) {
		return p.carry(q)
	}
	if o := p.muteNeighbour(q); o != nil {
		p.unwait(q, now)
		q.end = min(q.pos+p.p.Drain, q.wire.End, o.end) // run on until the neighbour speaks
		if w := p.windowEnd(q.pos); w > q.pos {
			q.end = min(q.end, w)
		}
		return q.end - q.pos
	}
	return -1
}

func (p *Plan) own(q *request, n int64) int64 {
	q.end = q.pos + n
	p.free.Remove(span.Range{Start: q.pos, End: q.end})
	return n
}

func (p *Plan) unwait(q *request, now Time) {
	if q.waiting {
		q.waiting, q.heard, q.mark = false, now, now
	}
}

// muteNeighbour is the owner of the bytes that q would come to now, if it has
// yet to show that it brings them: until then q is the bird in the hand.
func (p *Plan) muteNeighbour(q *request) *request {
	run := p.have.From(q.pos)
	for _, o := range p.reqs {
		if o != q && o.hedges == nil && o.pos <= max(q.pos, run.End) && max(q.pos, run.End) < o.end {
			if p.mute(o) {
				return o
			}
			return nil
		}
	}
	return nil
}

// mustCarry reports that q has to read on through bytes that are already
// stored, because there are missing ones behind them that no other request
// could be opened for.
func (p *Plan) mustCarry(q *request, now Time) bool {
	if _, ok := p.free.Next(q.pos, q.wire); !ok {
		return false
	}
	for _, s := range p.sources {
		if s.gone || s.held() {
			continue
		}
		if s != q.src || s.ceiling != 1 {
			return false
		}
	}
	return true
}

// nearlyFree reports that missing bytes lie so close ahead that reading on to
// them wastes less than closing the connection would.
func (p *Plan) nearlyFree(q *request, now Time) bool {
	next, ok := p.free.Next(q.pos, q.wire)
	gap := next.Start - q.pos
	if !ok || q.src.held() || next.Len() < p.p.MinSlice && gap > p.p.Drain || float64(q.carried+gap) > max(p.inFlight(q, now), float64(p.p.Drain)) {
		return false
	}
	q.carried += gap // not for ever: after as much as a cut would have cost, cut
	return true
}

// inFlight is what is on its way to us on q at any moment: the price of
// closing its connection.
func (p *Plan) inFlight(q *request, now Time) float64 {
	return p.rateOf(q, now) * (q.src.rtt.Seconds() + 0.05)
}

func (p *Plan) carry(q *request) int64 {
	next, _ := p.free.Next(q.pos, q.wire)
	if q.waiting = p.windowEnd(next.Start) <= next.Start; q.waiting {
		return 0
	}
	q.end = next.Start
	return q.end - q.pos
}
