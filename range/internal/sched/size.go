package sched

import "time"

// sliceFor is the size of the slice that s should take at off: a time at its
// own rate, shorter close to the reader, never more than its share of the
// window, and towards the end at most half of its share of what is left.
func (p *Plan) sliceFor(s *source, off int64, now Time) int64 {
	switch {
	case s.meter.now() == 0:
		return p.trialFor(s)
	case p.unproven(s, now):
		return p.p.Trial
	case p.succeeds(s, now):
		return 2 * p.p.Trial
	}
	rate, sum := p.nextRate(s, now), p.sumRate(now)
	t := max(p.p.SliceTime, 16*s.rtt)
	if p.following(s) {
		t = p.p.SliceTime
	}
	if p.p.Shown && s.rtt < distantAfter && p.hungry(now) {
		t = min(t, shownSlice)
	}
	if lead, ok := p.lead(off); ok {
		t = min(t, max(time.Duration(2*float64(lead)/sum*float64(time.Second)), p.p.MinTime, 4*s.rtt))
	}
	share := min(1, rate/sum)
	n := min(rate*t.Seconds(), share*float64(p.p.Window)*p.windowPart(s), share*float64(p.free.Size())/2)
	if s.heads < 2 && s.info.Rate == 0 && s.meter.bins == 0 {
		n = min(n, float64(p.p.Trial))
	}
	// While one request flows the next is on its way: a slice that takes less
	// than a round trip leaves silence behind it, down to the very end.
	n = max(n, min(1.5*rate*s.rtt.Seconds(), share*float64(p.free.Size()), share*float64(p.p.Window)*p.windowPart(s)))
	// Where no connection is free to hide it behind, each request costs a
	// round trip of silence: keep that to an eighth.
	lane := p.laneRate(s)
	full := min(1, lane/sum)
	if quiet := 8 * lane * s.rtt.Seconds(); n < quiet && s.lanes >= s.limit2() {
		left := max(full*float64(p.free.Size()), lane*(p.endsIn(sum)-s.rtt).Seconds())
		n = max(n, min(quiet, full*float64(p.p.Window)*p.windowPart(s), left))
	}
	if p.following(s) {
		n = p.followSize(s, n, rate, share, now)
	}
	return min(max(int64(n), p.p.MinSlice), p.p.MaxSlice)
}

// shownSlice is how long slices last as long as a film has no lead: so soon is
// there a connection free that takes over what comes too slowly.
const shownSlice = 400 * time.Millisecond

// unproven reports that the next request of s goes out on a connection that is
// yet to be made, far away and on a link that others of s may fill: beside those
// it may crawl for seconds, with a slice that the reader waits for.
func (p *Plan) unproven(s *source, now Time) bool {
	return s.trial.slow && !s.trial.settled && len(s.reqs) >= s.peak && p.front(s, now) == nil
}

// trialFor is the size of a request of a source whose rate is unknown. Far away a
// second one beside the first has to last until a third can be there: a round
// trip of the first source, as no other is known yet, at the rate of the others.
func (p *Plan) trialFor(s *source) int64 {
	if p.following(s) && len(s.reqs) > 0 {
		return 2 * p.p.Trial
	}
	rtt := p.sources[0].rtt
	if len(s.reqs) == 0 || s.info.Lanes > 1 || rtt < distantAfter {
		return p.p.Trial
	}
	n := int64(1.5 * p.laneRate(s) * rtt.Seconds())
	return min(max(n, p.p.Trial), 4*p.p.Trial)
}

// endsIn is when all that readers need will have come if every source keeps
// busy at sum bytes/s until then.
func (p *Plan) endsIn(sum float64) time.Duration {
	left := p.free.Size()
	for _, q := range p.reqs {
		left += q.rest()
	}
	return time.Duration(float64(left) / sum * float64(time.Second))
}

// windowPart is how much of its share of the window one slice may take: half,
// so that the next can be on its way; more where the host bears no connection
// for that, and each slice costs a round trip of silence.
func (p *Plan) windowPart(s *source) float64 {
	if s.lanes < s.limit2() {
		return 0.5
	}
	return 0.8
}

// provenRate is the rate of one lane for sizing slices. Lanes that have just
// been added may only share what there was: sized by what one alone had, their
// slices would last as many times longer and block the reader.
func (p *Plan) provenRate(s *source, now Time) float64 {
	rate := p.laneRate(s)
	if s.lanes < 2 || s.info.Start > 1 || now-s.trial.since > judgeTime+binTime {
		return rate
	}
	return min(rate, s.recent.lately(now)/float64(s.lanes))
}

// lead is how far off lies ahead of the nearest reader.
func (p *Plan) lead(off int64) (int64, bool) {
	best, ok := int64(0), false
	for _, r := range p.readers {
		if d := off - r.pos; d >= 0 && r.bias == 0 && (!ok || d < best) {
			best, ok = d, true
		}
	}
	return best, ok
}
