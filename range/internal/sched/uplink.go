package sched

import (
	"slices"
	"time"
)

// uplink is the question which of the other sources have a way to the net of
// their own. A second interface or a member behind the same router brings
// nothing: what it gets, the first source loses. That is noticed by the first
// one falling below what it had without them. Then those that could be the
// reason are set aside for a moment, one by one or, if there are many, in
// halves: those without which the rest gains what they had brought, and with
// which it then loses that again, are parked. Each source is judged once, so
// nothing swings; it costs one that has a way of its own about a second of its
// rate.
type uplink struct {
	base     float64 // rate of the first source without those to be judged, bytes/s
	since    Time
	strikes  int
	suspects []*source
	queue    [][]*source // groups of suspects to be tried
	trying   []*source   // set aside now, or back since then
	back     bool        // they are back, to see whether it happens again
	quiet    Time        // when the last request of those ended; 0 = not yet
	before   float64     // rate of the first and the other suspects, before
	lost     float64     // of those set aside, before
	without  float64     // rate of the first and the other suspects without them
	whole    bool        // the first had all that it had at the beginning, then
}

const (
	quietTime = 750 * time.Millisecond // the shortest that two whole bins fit in
	tryAlone  = 3                      // so many suspects are tried one by one
	backTime  = 3 * time.Second        // the longest that they may need to come back to speed
)

func (p *Plan) judgeUplink(now Time) {
	u := &p.uplink
	if len(p.sources) < 2 || u.base == 0 {
		return
	}
	first := p.sources[0]
	if !first.usable(now) || p.budgetLeft(first) == 0 || len(first.reqs) > 0 && p.silent(first, now) {
		p.unpark() // they are needed now, whatever they share
		u.since = now
		return
	}
	switch {
	case u.back:
		p.endBack(now)
	case u.trying != nil:
		p.endTry(now)
	case now-u.since < judgeTime+binTime:
	case len(u.queue) > 0:
		p.try(now)
	default:
		p.suspect(first, now)
	}
}

// suspect looks whether the first source has lost since others began.
func (p *Plan) suspect(first *source, now Time) {
	u := &p.uplink
	u.since = now
	own := first.recent.over(4, now)
	var fresh, suspects []*source
	for _, s := range p.sources[1:] {
		if s.judged || !s.usable(now) {
			continue
		}
		if s.began > 0 && now-s.began < judgeTime {
			return // what the first one brought before it came counts still
		}
		if r := s.recent.over(4, now); r >= 0.05*u.base {
			fresh = append(fresh, s)
			if r <= 1.3*(u.base-own) { // nobody takes more than is lost
				suspects = append(suspects, s)
			}
		}
	}
	switch {
	case len(fresh) == 0: // the others have not begun
		if u.strikes = 0; p.judgedAny() && own > 0 {
			u.base, p.alone.measured = own, 0 // for those that come later
		}
		if suspects, had := p.doubted(own, now); len(suspects) > 0 {
			u.base = had
			p.tryAll(suspects, now)
		}
	case own >= 0.8*u.base || len(suspects) == 0 || u.strikes == 0 && p.alone.lostNothing(own):
		p.clear(fresh, now)
	default:
		if u.strikes++; u.strikes < 2 {
			return
		}
		p.tryAll(suspects, now)
	}
}

// tryAll begins to try suspects, those that bring most first.
func (p *Plan) tryAll(suspects []*source, now Time) {
	u := &p.uplink
	slices.SortStableFunc(suspects, func(a, b *source) int { return int(b.recent.over(4, now) - a.recent.over(4, now)) })
	u.suspects, u.queue = suspects, [][]*source{suspects}
	if len(suspects) <= tryAlone {
		u.queue = halves(suspects, len(suspects))
	}
	p.try(now)
}

// halves splits group into n parts.
func halves(group []*source, n int) (out [][]*source) {
	for part := range slices.Chunk(group, (len(group)+n-1)/n) {
		out = append(out, part)
	}
	return out
}

func (p *Plan) judgedAny() bool {
	return slices.ContainsFunc(p.sources, func(s *source) bool { return s.judged })
}

func (p *Plan) acquit(ss []*source) {
	for _, s := range ss {
		s.judged = true
	}
	p.uplink.strikes = 0
}

// try sets the next group aside.
func (p *Plan) try(now Time) {
	u := &p.uplink
	u.trying, u.queue, u.quiet, u.since = u.queue[0], u.queue[1:], 0, now
	u.before, u.lost = p.rest(4, now), 0
	for _, s := range u.trying {
		u.lost += s.recent.over(4, now)
		s.aside = true
	}
}

// rest is the rate of the first source and of the suspects that are not tried now.
func (p *Plan) rest(bins int, now Time) float64 {
	sum := p.sources[0].recent.over(bins, now)
	for _, s := range p.uplink.suspects {
		if !s.parked && !slices.Contains(p.uplink.trying, s) {
			sum += s.recent.over(bins, now)
		}
	}
	return sum
}

// endTry judges the group set aside, once its requests have ended and the rest
// has had time to gain.
func (p *Plan) endTry(now Time) {
	u := &p.uplink
	idle := !slices.ContainsFunc(u.trying, func(s *source) bool { return len(s.reqs) > 0 })
	if u.quiet == 0 && (idle || now-u.since > 2*time.Second) {
		u.quiet = now
	}
	if u.quiet == 0 || now-u.quiet < quietTime {
		return
	}
	group, gain := u.trying, p.rest(2, now)-u.before
	for _, s := range group {
		s.aside = false
	}
	u.since = now
	switch {
	case gain > 2*u.lost: // more than they can have taken: some link has become faster meanwhile
	case gain >= 0.5*u.lost:
		u.back, u.without = true, gain+u.before
		u.whole = p.sources[0].recent.over(2, now) >= 0.85*u.base
		return
	case len(group) > 1 && gain >= 0.1*u.lost:
		u.queue = append(u.queue, halves(group, 2)...)
		group = nil
	}
	p.judged(group)
}

// endBack judges the group without which the rest had gained what they had
// brought, once they bring as much again: by chance, as when a link changes, it
// does not lose that now.
func (p *Plan) endBack(now Time) {
	u := &p.uplink
	bring := 0.0
	for _, s := range u.trying {
		bring += s.recent.over(2, now)
	}
	if d := now - u.since; d < quietTime || bring < 0.7*u.lost && d < backTime {
		return
	}
	if u.without-p.rest(2, now) >= 0.5*bring && bring > 0 {
		for _, s := range u.trying {
			s.parked = true
		}
		if u.whole {
			u.queue = nil
		}
	}
	u.since = now
	p.judged(u.trying)
}

// judged ends a try; those acquitted here are not looked at again.
func (p *Plan) judged(group []*source) {
	u := &p.uplink
	u.trying, u.back = nil, false
	p.acquit(group)
	if len(u.queue) == 0 {
		p.acquit(u.suspects)
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

// unpark takes back all that were set aside.
func (p *Plan) unpark() {
	for _, s := range p.sources[1:] {
		s.aside, s.parked, s.judged = false, false, s.judged || s.aside
	}
	p.uplink.queue, p.uplink.trying, p.uplink.back = nil, nil, false
}
