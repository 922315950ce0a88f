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
	case q.pos < q.end && !p.outrun(q, now):
		return q.end - q.pos
	}
	return p.extend(q, now)
}

// outrun reports that another request has brought all that q owns, before it spoke:
// reading it once more would take longer than to close.
func (p *Plan) outrun(q *request, now Time) bool {
	return float64(q.rest()) > max(p.inFlight(q, now), float64(p.p.Drain)) && q.hedge == nil && q.hedges == nil && p.have.From(q.pos).End >= q.end
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
	if o := p.muteNeighbour(q); o != nil && !p.inTheWay(q, o, now) {
		if q.waiting = p.aboutToSpeak(q, o, now); q.waiting {
			return 0
		}
		p.unwait(q, now)
		q.ranOn += p.p.Drain
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
// yet to show that it brings them: until then q is the bird in the hand. Slice 0 is
// that until another connection has lasted: servers that have had enough of a client
// with its first one break the later ones, or let them stall.
func (p *Plan) muteNeighbour(q *request) *request {
	at := q.pos
	if q.adopted && !p.lasted() && len(p.readers) == 1 { // what has been read need not be stored any more
		at = max(at, p.readers[0].pos)
	}
	at = max(at, p.have.From(at).End)
	for _, o := range p.reqs {
		if o != q && o.hedges == nil && o.pos <= at && at < o.end {
			if p.mute(o) || q.adopted && !p.lasted() {
				return o
			}
			return nil
		}
	}
	return nil
}

// lasted reports that connections beside slice 0 have been shown to bring more than
// their beginning.
func (p *Plan) lasted() bool { return p.known || p.beside >= p.lasting() }

// lasting is how much that is. Far away connections begin slowly, and slice 0 would be in
// their way as long as none has failed.
func (p *Plan) lasting() int64 {
	if !p.broke && p.sources[0].rtt >= distantAfter {
		return 0
	}
	return p.p.Trial
}

// noteBeside notes what a request beside slice 0 has brought at a stretch. Of slow ones
// it counts how long that took.
func (p *Plan) noteBeside(q *request, now Time) {
	switch n := q.pos - q.wire.Start; {
	case q.adopted:
	case now-q.began >= p.p.SliceTime && n >= p.p.MinSlice:
		p.beside = max(p.beside, n, p.p.Trial)
	default:
		p.beside = max(p.beside, n)
	}
	if p.beside >= p.p.Trial {
		p.renewals = 0
	}
}

// aboutToSpeak reports that o has just been asked, and that q, which is fast, has read
// enough of what others own for the while. It would have read all of it before o's
// answer, which is on its way, could be listened to.
func (p *Plan) aboutToSpeak(q, o *request, now Time) bool {
	return q.ranOn >= 4*p.p.Drain && now-o.began < max(tickTime, 3*o.src.rtt)
}

// inTheWay reports that o waits for q itself to end, and that more is left of q's
// answer than closing its connection would cost.
func (p *Plan) inTheWay(q, o *request, now Time) bool {
	return o.ahead == q && float64(q.wire.End-q.pos) > max(p.inFlight(q, now), float64(p.p.Drain))
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
	if ok && !q.src.held() && q.adopted && !p.lasted() && (p.broke || p.beside > 0 && gap <= 4*p.p.Trial) {
		return true // others have failed to bring it
	}
	if !ok || q.src.held() || next.Len() < p.p.MinSlice && gap > p.p.Drain || float64(q.carried+gap) > max(p.inFlight(q, now), float64(p.p.Drain)) {
		return false
	}
	q.carried += gap // not for ever: after as much as a cut would have cost, cut
	return true
}

// inFlight is what is on its way to us on q at any moment, or here: the price of
// closing its connection. Slow lines have queues of some 50 ms, fast ones of less.
func (p *Plan) inFlight(q *request, now Time) float64 {
	rate := p.rateOf(q, now)
	n := rate*q.src.rtt.Seconds() + min(0.05*rate, 1<<20)
	if now < p.awake {
		n = max(n, q.unread)
	}
	return n
}

func (p *Plan) carry(q *request) int64 {
	next, _ := p.free.Next(q.pos, q.wire)
	if q.waiting = p.windowEnd(next.Start) <= next.Start; q.waiting {
		return 0
	}
	q.end = next.Start
	return q.end - q.pos
}
