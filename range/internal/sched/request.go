package sched

import (
	"time"

	"dtpx/range/internal/span"
)

func (p *Plan) newRequest(s *source, r span.Range, now Time) *request {
	p.nextReq++
	q := &request{id: p.nextReq, src: s, wire: r, pos: r.Start, end: r.End, began: now, heard: now, mark: now}
	p.reqs = append(p.reqs, q)
	s.reqs = append(s.reqs, q)
	s.requests++
	return q
}

// Answered notes how long an answer of a source took from when it was asked for
// on a connection that stood ready; 0 says nothing.
func (p *Plan) Answered(src SourceID, d time.Duration) {
	if s := p.source(src); d > 0 && (s.rtt == 0 || d < s.rtt) {
		s.rtt = d
	}
}

// Path notes the round trip to a source without its time to answer; 0 says nothing.
func (p *Plan) Path(src SourceID, d time.Duration) { p.source(src).path = d }

// Opened notes that req's response has come and keeps the rules of one version.
func (p *Plan) Opened(id ID, now Time) {
	p.overslept(now)
	q := p.request(id)
	if q == nil {
		return
	}
	if q.ahead != nil { // it has come although the one ahead has not been reported to have ended
		q.ahead.passed = true
		p.release(q.ahead, now)
	}
	if q.followed {
	} else if !q.head && q.src.rtt == 0 {
		q.src.rtt = now - q.began
	} else if !q.head {
		q.src.rtt = min(q.src.rtt, now-q.began) // the least one is nearest to the path's
	}
	q.opened(now)
	p.proven = true
	q.src.peak = max(q.src.peak, q.src.verified())
	p.pair(q.src, now)
	p.ramp(q.src, now)
	p.touch(q.src)
}

// pair lets a far source of one lane have two requests at a time. Taking turns,
// each of its two connections would be idle for as long as the other one is at
// work, and then have to gather speed again (RFC 5681 §4.1), which takes it
// several round trips of each slice. At work both, neither is idle for longer
// than a round trip, and that is filled by the other one.
//
// Where the window is short for that, slices that take twice as long would block
// the reader: then they take turns after all.
func (p *Plan) pair(s *source, now Time) {
	short := float64(p.p.Window) < 1.5*p.total.over(4, now)
	switch {
	case p.following(s):
	case s.info.Lanes == 1 && s.rtt >= distantAfter && s.ceiling == 0 && s.refused == 0 && !short:
		s.info.Lanes, s.lanes, s.paired = 2, 2, true
	case s.paired && short:
		s.info.Lanes, s.lanes, s.paired = 1, 1, false
	}
}

// nextRate is the rate to size the next slice of s for. Of a pair one connection
// often gets several times what the other one gets, for many slices: the next
// request goes out on the one that has just become free, so that one counts.
func (p *Plan) nextRate(s *source, now Time) float64 {
	rate := p.provenRate(s, now)
	if o := p.front(s, now); o != nil {
		return min(max(p.rateOf(o, now), rate/8), 2*rate)
	}
	if !s.paired || s.freed == 0 {
		return rate
	}
	return min(max(s.freed, rate/8), 2*rate)
}

// verified counts the open requests of s whose head has come.
func (s *source) verified() (n int) {
	for _, q := range s.reqs {
		if q.head {
			n++
		}
	}
	return n
}

// Got notes that req has brought n bytes at its position. It returns the parts
// of them that nobody had brought before, which the caller must store; the
// rest is waste. step asks the caller to call Step soon.
func (p *Plan) Got(id ID, n int64, now Time) (fresh []span.Range, step bool) {
	p.overslept(now)
	q := p.request(id)
	if q == nil {
		return nil, false
	}
	fresh = p.needed(span.Range{Start: q.pos, End: q.pos + n})
	news := int64(0)
	for _, f := range fresh {
		news += f.Len()
		p.free.Remove(f)
		p.have.Add(f)
	}
	was := q.rest()
	q.pos += n
	p.noteBeside(q, now)
	p.count(q, n, news, now)
	p.settleHedge(q)
	tail := int64(p.rateOf(q, now) * p.tailOf(q.src, now).Seconds())
	if step = q.rest() == 0 || was > tail && q.rest() <= tail; step {
		p.touch(q.src)
	}
	return fresh, step
}

// needed returns the parts of r that are not stored and that a reader has yet
// to read.
func (p *Plan) needed(r span.Range) []span.Range {
	if len(p.readers) == 1 {
		rd := p.readers[0]
		return p.have.Missing(r.Intersect(span.Range{Start: rd.pos, End: rd.end}))
	}
	var need span.Set
	for _, rd := range p.readers {
		need.Add(r.Intersect(span.Range{Start: rd.pos, End: rd.end}))
	}
	var out []span.Range
	for _, n := range need.Ranges() {
		out = append(out, p.have.Missing(n)...)
	}
	return out
}

// Position is where the next byte of req belongs.
func (p *Plan) Position(id ID) int64 {
	if q := p.request(id); q != nil {
		return q.pos
	}
	return 0
}

// Waste counts n bytes that came for nothing, such as a drained rest.
func (p *Plan) Waste(src SourceID, n int64) { p.source(src).wasted += n }

func (p *Plan) count(q *request, n, news int64, now Time) {
	busy := now - q.mark
	q.mark, q.heard, p.heard = now, now, now
	q.unread = max(0, q.unread-float64(n))
	if now >= p.awake {
		q.meter.add(n, busy)
		q.src.meter.add(n, busy)
	}
	q.src.best = max(q.src.best, q.meter.last)
	if q.meter.bins > 1 {
		q.src.sustained = max(q.src.sustained, q.meter.last)
	}
	q.src.recent.add(n, now)
	if q.src.began == 0 {
		q.src.began = now
	}
	q.src.fresh += news
	q.src.wasted += n - news
	if q.src.meter.now() == 0 && q.rest() == 0 { // over before it could be measured
		q.src.meter.rate = float64(q.pos-q.wire.Start) / max(now-q.began, time.Millisecond).Seconds()
	}
	if q.src.good += news; q.src.good >= p.p.MinSlice { // a byte now and then is no recovery
		q.src.strikes = 0
	}
	if !q.adopted {
		if q.src.proof += news; q.src.proof >= p.p.MinSlice { // one bad node among good ones
			q.src.lies = 0
		}
	}
	p.total.add(n, now)
	p.measureAlone(q.src, now)
}

// settleHedge ends the race between a silent owner and its hedge: who brings
// the next bytes first keeps the range. A hedge needs more than a byte for that.
func (p *Plan) settleHedge(q *request) {
	switch {
	case q.hedges != nil && p.mute(q):
	case q.hedges != nil: // the hedge won
		owner := q.hedges
		owner.hedge, q.hedges = nil, nil
		owner.end, owner.cut = owner.pos, true
	case q.hedge != nil: // the owner woke up
		h := q.hedge
		q.hedge, h.hedges = nil, nil
		h.end, h.cut = h.pos, true
	}
}

// mute reports that q has not yet brought enough to be believed: a head and a
// byte come from many a server that then resets.
func (p *Plan) mute(q *request) bool {
	return q.pos-q.wire.Start < min(p.p.MinSlice/8, q.wire.Len())
}
