// Package yield divides a machine's line between its owner, who goes first, and the
// members it is lent to.
package yield

import (
	"math"
	"time"
)

// Line knows what the line bears and what the owner wants of it. Nobody tells either:
// the first is the most that was seen to come, the second what the owner's traffic takes
// while lending stands back. The zero value is ready; a Line is for one goroutine at a time.
//
// A download of the owner takes all it is given: it gets eight ninths. What begins, a page
// above all, gets as much at once. A call, or a film at its own pace, leaves the rest of the
// line to members, but for the last seventh, so that no queue forms before it.
type Line struct {
	at     time.Time  // of the last step
	bears  [2]float64 // the most bytes/s seen, in this epoch and in the one before; 0 is nothing
	epoch  time.Time  // when this one began
	want   float64    // bytes/s that the owner usually takes, of late
	used   time.Time  // when the owner last used the line
	came   float64    // bytes since he began to
	back   time.Time  // until when lending stands back
	spent  float64    // seconds of standing back for connections without answer, of late
	learnt time.Time  // when all of the line was last seen in use or on offer
	state  state
	goal   float64 // bytes/s of both while probing; +Inf without any idea
	recent window
}

type state uint8

const (
	open    state = iota // the owner does nothing: no bound
	held                 // lending gets what the owner leaves
	probing              // and a little more than there is thought to be
)

// Step is how often Bound is to be asked.
const Step = 100 * time.Millisecond

const (
	idle  = 64 << 10        // bytes/s of the owner below which the line is not in use
	begun = 16 << 10        // bytes that are more than a message
	pause = time.Second     // without use, after which what comes has begun
	part  = 8               // lending may always take such a part of what the owner takes
	full  = 0.85            // of what the line bears, at its best, may be in use while the owner uses it
	rise  = 0.1             // of what the line bears: the owner wants this much more than usual
	stand = 2 * time.Second // how long lending then stands back: a new flow finds no room in a full line
	// A full line swallows first packets, and TCP sends them again after one second and
	// after three. Where nobody answers in an empty one either, lending is stopped for this
	// many seconds at once, and for a part of the time in the long run.
	mercy  = 2.5
	regain = 0.1
	fade   = 3 * time.Second // in which what the owner takes becomes usual
	memory = 30 * time.Second
	// Lending that is bounded says little about the line, which may have become a slower
	// one or a faster one, or the owner's server a slow one: from time to time both
	// together may take more than the line is thought to bear, and as long as they do,
	// more again.
	probe = 10 * time.Second
	more  = 1.1 // at first
	again = 1.5 // while they do
	// A download of the owner loses by that, as it would take all of the line: then it is
	// done more rarely, and with more care.
	greedy      = 0.5 // of what the line bears
	probeGreedy = 20 * time.Second
	againGreedy = 1.2
	nearly      = 0.95
	forget      = 2 * time.Minute // without a step: another line, perhaps
)

// Bound is how many bytes per second lending may take until it is asked again, when the
// owner's traffic and the lent one have moved own and lent bytes per second since it was
// asked last, and a connection of the owner gets no answer if waits. +Inf is no bound.
func (l *Line) Bound(now time.Time, own, lent float64, waits bool) float64 {
	d := now.Sub(l.at)
	if d < 0 || d > forget {
		*l = Line{}
	}
	if d < 0 || d > windowSteps*Step {
		l.recent, d = window{}, Step
	}
	l.at = now
	l.learn(now, own, lent, d)
	was := l.state
	b := l.bound(now, own, d, l.pity(d, waits))
	if l.state != was {
		// What then comes out of buffers came over the line earlier.
		l.recent = window{skip: skipped}
	}
	return b
}

// pity reports whether lending stands back for who waits.
func (l *Line) pity(d time.Duration, waits bool) bool {
	l.spent = max(0, l.spent-regain*d.Seconds())
	if !waits || l.spent >= mercy {
		return false
	}
	l.spent += d.Seconds()
	return true
}

func (l *Line) bound(now time.Time, own float64, d time.Duration, pity bool) float64 {
	best, rises := max(l.bears[0], l.bears[1]), own-l.want
	if now.Before(l.back) {
		l.want = max(l.want, own)
	} else {
		l.want += rises * min(1, d.Seconds()/fade.Seconds())
	}
	if pity {
		l.state = held
		return max(own, idle) / part
	}
	if own < idle {
		l.state = open
		return math.Inf(1)
	}
	if now.Sub(l.used) > pause {
		l.came = 0
	}
	was := l.came
	l.used, l.came = now, l.came+own*d.Seconds()
	begins := was < begun && l.came >= begun
	if begins || best > 0 && rises > rise*best {
		l.back = now.Add(stand)
	}
	switch {
	case now.Before(l.back):
		l.state = held
		return own / part
	case l.state == probing:
	case l.learnt.IsZero():
		l.state, l.goal = probing, math.Inf(1)
	case now.Sub(l.learnt) > probeGreedy || now.Sub(l.learnt) > probe && max(own, l.want) < greedy*best:
		l.state, l.goal = probing, more*best
	default:
		l.state = held
	}
	own = max(own, l.want)
	if l.state == probing {
		return max(own/part, l.goal-own)
	}
	return max(own/part, full*best-own)
}

// learn notes what came in the last d.
func (l *Line) learn(now time.Time, own, lent float64, d time.Duration) {
	rate := own // where lending is bounded, the line bears this at least
	if l.state != held {
		rate += lent
	}
	rate, whole := l.recent.add(rate, d)
	if !whole {
		return
	}
	switch {
	case l.state == held:
		l.bears[0] = max(l.bears[0], rate)
		return
	case l.state == probing: // asked for: so it is
		l.bears, l.epoch = [2]float64{rate}, now
		if rate >= nearly*l.goal {
			l.recent = window{skip: skipped}
			if l.goal = again * rate; l.want >= greedy*rate {
				l.goal = againGreedy * rate
			}
			return
		}
		l.state = held
	case now.Sub(l.epoch) > memory:
		l.bears, l.epoch = [2]float64{rate, l.bears[0]}, now
	default:
		l.bears[0] = max(l.bears[0], rate)
	}
	l.learnt = now
}

// window is the mean of the last second.
type window struct {
	rates [windowSteps]float64
	spans [windowSteps]time.Duration
	n     int
	skip  int // steps that do not count
}

const (
	windowSteps = 10
	skipped     = 3
)

// add reports the mean, and whether it is one of a whole window.
func (w *window) add(rate float64, d time.Duration) (mean float64, whole bool) {
	if w.skip > 0 {
		w.skip--
		return 0, false
	}
	w.rates[w.n%windowSteps], w.spans[w.n%windowSteps] = rate, d
	w.n++
	if w.n < windowSteps {
		return 0, false
	}
	var sum, span float64
	for i, s := range w.spans {
		sum += w.rates[i] * s.Seconds()
		span += s.Seconds()
	}
	return sum / span, span > 0
}
