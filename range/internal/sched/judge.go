package sched

import (
	"slices"
	"time"
)

// experiment is the question whether the lanes a source got since it had
// `from` of them are worth having. One answer takes a second; it is asked
// twice before anything is taken back, and once more afterwards.
type experiment struct {
	on      bool
	from    int     // lanes before
	base    float64 // rate before, bytes/s
	since   Time    // when the newest lane was verified, or the last answer given
	grew    Time    // when the newest lane was verified
	had     int64   // bytes the source had brought by then
	strikes int
	undone  bool    // lanes were taken back at since
	peak    float64 // rate before they were
	to      int     // lanes before they were
	settled bool
	waits   bool // until the lanes there are have gathered speed
	slow    bool // each step is looked at for a second
}

const judgeTime = time.Second

// startTrial opens the ramp of s when the plan is engaged: one more lane.
func (p *Plan) startTrial(s *source, now Time) {
	if p.following(s) && p.othersUsable(s, now) && s.limit() > 1 && s.info.Start < 4 && s.ceiling != 1 {
		s.lanes, s.info.Start, s.trial.waits = 1, 0, true
		return
	}
	if s.limit() <= s.lanes || s.info.Start > 1 || s.ceiling == 1 {
		return
	}
	base, step := s.meter.now(), s.step()
	if p.othersUsable(s, now) {
		switch {
		case s.info.Start == 1:
			return // it was tried lately, and a trial delays what is nearest to the reader
		case p.p.Shown:
			s.trial.waits = true
			return
		case s.rtt >= distantAfter:
			s.lanes, s.trial.waits = min(2, s.limit()), true
			return
		}
		step = 2
	} else if s.info.Start == 1 { // slice 0 has just begun, perhaps behind what an earlier download left in the link's queue
		base = max(base, s.info.Rate)
	}
	s.trial = experiment{on: base > 0, from: s.lanes, base: base * float64(s.lanes), since: now, grew: now, had: s.fresh + s.wasted}
	s.lanes = min(s.lanes*step, s.limit())
}

// worthTrying is how much has to be left of a download for the trial of another
// connection to a far host: where nothing comes of it, the one that filled the
// link has lost up to two seconds of its rate.
const worthTrying = 15 * time.Second

// shownTrial is when the first trial of a film begins beside others. Until there is
// a lead, the one of two connections that gets little of a link stops the film;
// and once there is one, nobody is hungry and there is nothing to be tried.
const shownTrial = 4 * time.Second

// startWaiting opens the ramp of a far source beside others. As long as its first
// connections are gathering speed, whatever is added seems to bring something:
// 16 lanes on one link of 4 MB/s, 120 ms away, and slices that take 5 s.
func (p *Plan) startWaiting(s *source, now Time) {
	if !s.trial.waits || !s.steady(now) || p.p.Shown && now < shownTrial {
		return
	}
	base := s.recent.over(4, now)
	if p.following(s) {
		s.top = max(s.recent.over(8, now), 0.99*s.top)
		if slices.ContainsFunc(s.reqs, p.whole) || now-s.trial.since < 3*judgeTime || s.recent.over(8, now) < 0.9*s.top {
			return // another connection begins, or one gathers speed after a loss
		}
		if p.endsIn(p.sumRate(now)) < worthTrying {
			return
		}
		base = s.top
	}
	s.trial = experiment{on: true, slow: true, from: s.lanes, base: base, since: now, grew: now, had: s.fresh + s.wasted}
	s.lanes = min(2*s.lanes, s.limit())
}

// steady reports that s brings no more than it did a second earlier. In slow
// start it would be several times as much.
func (s *source) steady(now Time) bool {
	lately, both := s.recent.over(4, now), s.recent.over(8, now)
	return now >= 9*binTime && both > 0 && lately <= 1.15*(2*both-lately)
}

// step is by how much the ramp multiplies the lanes: by 2, or by 4 where each
// step costs several round trips that can be felt.
func (s *source) step() int {
	if (!s.trial.slow || s.info.Follows && s.lanes > 1) && s.rtt >= 30*time.Millisecond {
		return 4
	}
	return 2
}

// ramp doubles the lanes of s when a verified head shows that the host bears
// those it has.
func (p *Plan) ramp(s *source, now Time) {
	if !p.engaged || s.trial.waits || s.trial.settled || s.trial.undone || s.info.Start > 1 || !p.hungry(now) {
		return
	}
	if s.verified() >= s.lanes && s.lanes < s.limit() && s.refused == 0 && p.pays(s, now) {
		s.lanes = min(s.step()*s.lanes, s.limit())
		s.trial.since, s.trial.grew, s.trial.had = now, now, s.fresh+s.wasted
	}
}

// trialTime is how long lanes are looked at. Where a loss can keep back what
// has come for a second, that has to be a small part of it.
func (p *Plan) trialTime(s *source) time.Duration {
	if s.trial.slow && p.following(s) {
		return 2*judgeTime + binTime
	}
	return judgeTime + binTime
}

// paysAfter is the shortest time in which lanes can show what they bring.
const paysAfter = 150 * time.Millisecond

// pays reports that the lanes s has got are worth having, so far. Where it is
// alone nothing is lost by trying; beside others each lane that only takes from
// the rest of its link makes the slices nearest to the reader late, so that none
// is added that nobody looks at.
func (p *Plan) pays(s *source, now Time) bool {
	t := &s.trial
	switch {
	case !p.othersUsable(s, now):
		return true
	case !t.on:
		return false
	case s.lanes <= t.from:
		return true
	}
	d := now - t.grew
	if d < max(paysAfter, 4*s.rtt) || t.slow && d < p.trialTime(s) {
		return false
	}
	rate := max(float64(s.fresh+s.wasted-t.had)/d.Seconds(), s.recent.lately(now))
	if t.slow {
		rate = s.recent.over(4, now)
	}
	if p.following(s) { // what waited for a lost segment comes all at once
		rate = s.recent.over(8, now)
	}
	return rate >= t.base*(1+p.gainOf(s)*float64(s.lanes-t.from)/float64(t.from))
}

// gainOf is the part of what a new lane could bring that it has to. One that is
// tried by slices with a round trip between them brings half of it.
func (p *Plan) gainOf(s *source) float64 {
	if p.following(s) {
		return 0.2
	}
	return 0.4
}

// judge reverts lanes that bring less than a tenth of what they should.
func (p *Plan) judge(now Time) {
	if !p.engaged || !p.hungry(now) {
		for _, s := range p.sources {
			s.trial.since = max(s.trial.since, now-judgeTime/2) // measured seconds must be hungry ones
		}
		p.uplink.since = max(p.uplink.since, now-judgeTime/2)
		return
	}
	p.judgeUplink(now)
	for _, s := range p.sources {
		p.startWaiting(s, now)
		t := &s.trial
		if !t.on || t.settled {
			continue
		}
		p.ramp(s, now)
		if now-t.since >= p.trialTime(s) {
			p.judgeSource(s, t, now)
		}
	}
}

func (p *Plan) judgeSource(s *source, t *experiment, now Time) {
	rate := s.recent.over(4, now)
	if p.following(s) {
		rate = s.recent.over(8, now)
	}
	if t.undone {
		if rate < 0.8*t.peak { // they did help
			s.lanes = min(t.to, s.limit())
		}
		t.settled = true
		return
	}
	expected := t.base / float64(t.from) * float64(s.lanes-t.from)
	// A far connection is still gathering speed when the others begin, so that
	// what was there before says little. That each brings much less than one of
	// them has shown to bring says that they share something.
	sharing := 3*s.meter.now() < s.sustained
	least, strikes := 0.1, 2
	if t.slow && p.following(s) {
		least, strikes = p.gainOf(s), 1
	}
	if !sharing && (expected <= 0 || rate-t.base >= least*expected) {
		t.settled = true
		return
	}
	if t.strikes++; t.strikes < strikes {
		t.since = now
		return
	}
	t.undone, t.peak, t.to, t.since = true, rate, s.lanes, now+judgeTime
	s.lanes = t.from
}

// SourceStats is what a source has done so far.
type SourceStats struct {
	Fresh, Wasted int64   // bytes stored; bytes that others had brought before
	Rate          float64 // bytes/s over the last second
	Lane          float64 // bytes/s of one lane
	Lanes, Open   int
	Requests      int
	Heads         int
	Refused       int
	Ceiling       int
	Peak          int // most requests answered at a time
	Mismatched    int
	RTT           time.Duration
	Gone, Parked  bool
	Benched       bool
	Cramped       bool // its lanes were bound for the sake of others
	Tried         bool // whether its lanes were worth having has been seen, or they took nothing from others
}

// Stats describes a source.
func (p *Plan) Stats(id SourceID, now Time) SourceStats {
	s := p.source(id)
	return SourceStats{
		Fresh: s.fresh, Wasted: s.wasted, Rate: s.recent.over(4, now), Lane: s.meter.now(), Lanes: s.lanes,
		Open: s.conns(), Requests: s.requests, Heads: s.heads, Refused: s.refused, Ceiling: s.ceiling, Peak: s.peak, Mismatched: s.wrong,
		RTT: s.rtt, Gone: s.gone, Parked: s.parked, Benched: now < s.ready, Cramped: s.cramped,
		Tried: s.trial.settled || !p.othersUsable(s, now),
	}
}

// Engaged reports whether helpers have been asked for.
func (p *Plan) Engaged() bool { return p.engaged }
