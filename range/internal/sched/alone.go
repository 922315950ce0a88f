package sched

import "time"

// alone measures what the first source has without the others, in the some 40 ms
// before they bring something. A shaped link lets 64 KiB or more pass at once before
// its rate counts, and what waits there is read late by a busy machine: taken from
// the first byte on, 4 MB/s looks like 6, and that it is 4 afterwards like a loss
// to the others. So short a time may also tell too little, and it only clears of
// suspicion: whether others share a link is found out by going without them.
type alone struct {
	over    bool // another source has brought something
	samples []sample

	measured float64 // bytes/s; 0 = not known
}

// sample says that sum bytes had come by at.
type sample struct {
	at  Time
	sum int64
}

const (
	aloneStep  = 500 * time.Microsecond // between samples
	aloneLeast = 10 * time.Millisecond  // what is shorter says nothing
	// aloneSamples end it where nobody comes soon: what the meter knows by then
	// is better.
	aloneSamples = 128
)

// rate is in bytes/s until before, 0 if not known. Of the times that it could be
// taken from it takes that with the lowest rate: before it nothing had been waiting
// to be read.
func (a *alone) rate(before Time) (least float64) {
	n := len(a.samples)
	for n > 0 && a.samples[n-1].at > before {
		n--
	}
	if n == 0 {
		return 0
	}
	last := a.samples[n-1]
	for _, s := range a.samples[:n] {
		d := last.at - s.at
		if d < max(aloneLeast, (last.at-a.samples[0].at)/2) {
			break
		}
		if r := float64(last.sum-s.sum) / d.Seconds(); least == 0 || r < least {
			least = r
		}
	}
	return least
}

// lostNothing reports that own, the rate of the first source with the others, is
// what it had alone. Who shares a link with it takes more than a tenth of that.
func (a *alone) lostNothing(own float64) bool {
	return a.measured > 0 && own >= 0.9*a.measured
}

// aloneDoubt is by how much what was measured may be too little.
const aloneDoubt = 1.25

// measureAlone notes an arrival from s. What was asked for from another source may
// have taken from the first one's link for as long as it takes to come.
func (p *Plan) measureAlone(s *source, now Time) {
	a := &p.alone
	switch n := len(a.samples); {
	case a.over:
	case s != p.sources[0]:
		a.over, a.measured = true, a.rate(now-2*s.rtt)
		if a.measured > 0 {
			p.uplink.base = min(p.uplink.base, aloneDoubt*a.measured)
		}
	case n == aloneSamples:
		a.over = true
	case n == 0 || now-a.samples[n-1].at >= aloneStep:
		a.samples = append(a.samples, sample{now, s.fresh + s.wasted})
	}
}
