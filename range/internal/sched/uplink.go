package sched

import "time"

// uplink is the question whether the other sources have a way to the net of
// their own. A second interface or a machine behind the same uplink brings
// nothing: what it gets, the first one loses. That is noticed by the first
// source falling below what it had alone; then the others are set aside for a
// second, and stay so if the sum does not fall.
type uplink struct {
	base    float64 // rate of the first source while it was alone, bytes/s
	since   Time
	strikes int
	peak    float64 // the sum before the others were set aside
	aside   bool
	settled bool
}

// judgeUplink asks once for each download.
func (p *Plan) judgeUplink(now Time) {
	u := &p.uplink
	if len(p.sources) < 2 || u.base == 0 || u.settled && !u.aside {
		return
	}
	first := p.sources[0]
	if u.aside && (!first.usable(now) || len(first.reqs) > 0 && p.silent(first, now)) {
		p.park(false) // the others are needed now, whatever they share
		u.settled = true
		return
	}
	if u.settled || now-u.since < judgeTime+binTime {
		return
	}
	if p.budgetLeft(first) == 0 { // it brings less because it may not bring more
		u.since = now
		return
	}
	if u.aside {
		if p.total.over(4, now) < 0.9*u.peak {
			p.park(false)
		}
		u.settled = true
		return
	}
	own, all := first.recent.over(4, now), p.total.over(4, now)
	switch {
	case all-own < 0.1*u.base: // the others have not begun
		u.since = now
	case own >= 0.8*u.base:
		u.settled = true
	default:
		if u.strikes++; u.strikes > 1 {
			u.peak = all
			p.park(true)
		}
		u.since = now + time.Duration(b2i(u.aside))*judgeTime // they may finish their slices
	}
}

// silent reports that nothing has come by any request of s for a while.
func (p *Plan) silent(s *source, now Time) bool {
	for _, q := range s.reqs {
		if q.silence(now) < p.softAfter(q) {
			return false
		}
	}
	return true
}

// park sets all sources but the first aside, or takes them back.
func (p *Plan) park(aside bool) {
	p.uplink.aside = aside
	for _, s := range p.sources[1:] {
		s.parked = aside
	}
}
