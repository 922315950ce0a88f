package sched

import (
	"math"
	"time"
)

// doubt is about a source that was cleared without going without it. A connection
// that shares a line begins with a small part of it, behind the queue of the others,
// and takes more later: then the first source loses what it gains, and the sum of the
// two stays.
type doubt struct {
	until   Time    // 0 = none
	own     float64 // the best rate of the first source since, bytes/s
	rate    float64 // of this one, then
	strikes int
}

const (
	doubtTime = 10 * time.Second
	// A fifth less of the first source, and the sum within a twelfth: lines that
	// change by themselves seldom look like that, two seconds in a row.
	doubtFall  = 0.2
	doubtSum   = 1.0 / 12
	doubtLooks = 2
)

// clear judges ss by what the first source brings beside them. From the next look on
// it is seen whether that stays so: this one may still count what it had alone.
func (p *Plan) clear(ss []*source, now Time) {
	p.acquit(ss)
	for _, s := range ss {
		s.doubt = doubt{until: now + doubtTime}
	}
}

// doubted are the sources that have taken from the first one since they were cleared,
// and what it had before.
func (p *Plan) doubted(own float64, now Time) (ss []*source, had float64) {
	for _, s := range p.sources[1:] {
		if s.doubt.until < now || s.held() || !s.usable(now) {
			continue
		}
		if s.doubt.looks(own, s.recent.over(4, now)) {
			had = max(had, s.doubt.own)
			s.doubt = doubt{}
			ss = append(ss, s)
		}
	}
	return ss, had
}

// looks reports that the source has looked like that for long enough.
func (d *doubt) looks(own, rate float64) bool {
	if own >= d.own {
		d.own, d.rate, d.strikes = own, rate, 0
		return false
	}
	fall, rise := d.own-own, rate-d.rate
	if fall < doubtFall*d.own || math.Abs(rise-fall) > doubtSum*(d.own+d.rate) {
		d.strikes = 0
		return false
	}
	d.strikes++
	return d.strikes >= doubtLooks
}
