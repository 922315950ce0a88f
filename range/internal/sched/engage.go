package sched

import "time"

// engage splits slice 0 as soon as helpers are worth it: at once where the
// host is known, otherwise after HelperDelay or two round trips, and not if
// slice 0 alone would be done within MinGain.
func (p *Plan) engage(now Time) {
	q := p.first
	if p.engaged || q == nil || q.waiting {
		return
	}
	if now-p.headAt < p.helperDelay() {
		return
	}
	rate := q.meter.now()
	if rate == 0 {
		rate = 1
	}
	silent := q.silence(now) >= p.softAfter(q)
	if !silent && (rate >= p.p.Alone || float64(q.wire.End-q.pos) < rate*p.p.MinGain.Seconds() || !p.hungry(now)) {
		return
	}
	p.split0(now)
	if silent {
		q.end = q.pos
		p.refree()
	}
}

// helperDelay is how long after its head slice 0 shows what it can do alone.
func (p *Plan) helperDelay() time.Duration {
	if p.known {
		return 20 * time.Millisecond
	}
	return max(p.p.HelperDelay, min(2*p.sources[0].rtt, 2*p.p.HelperDelay))
}

// split0 makes slice 0 an ordinary request that owns one slice.
func (p *Plan) split0(now Time) {
	q := p.first
	p.engaged, p.first = true, nil
	end := q.end
	q.end = q.pos
	p.refree()
	if n := min(end, p.windowEnd(q.pos), q.pos+p.sliceFor(q.src, q.pos, now)) - q.pos; n > 0 && !q.waiting {
		p.own(q, n)
	}
	if p.uplink = (uplink{since: now}); q.src == p.sources[0] {
		p.uplink.base = q.src.meter.now()
	}
	for _, s := range p.sources {
		p.startTrial(s, now)
	}
}
