package yield_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"dtpx/cluster/internal/yield"
)

// mb is a megabyte per second.
const mb = 1e6

// home is a line that flows share evenly, as TCP does, each following its share with
// some delay. The owner's wants go through own flows, the members' through lent ones.
type home struct {
	line       func(at float64) float64 // bytes/s, at seconds from the start
	own, lent  float64                  // flows
	wants      func(at float64) float64 // bytes/s of the owner
	asks       func(at float64) float64 // of the members; nil is all they get
	waits      func(at float64) bool    // whether a connection of the owner gets no answer; nil is never
	took, gave []float64                // bytes/s of each tick
}

const (
	tick = 0.05 // s
	lag  = 0.2  // s
)

// live runs for so many seconds.
func (h *home) live(seconds float64) *home {
	var l yield.Line
	bound, own, lent := math.Inf(1), 0.0, 0.0
	start, asked, ownIn, lentIn := time.Unix(1e9, 0), 0.0, 0.0, 0.0 // since asked
	for at := 0.0; at < seconds; at += tick {
		ask := bound
		if h.asks != nil {
			ask = min(ask, h.asks(at))
		}
		c, want := h.line(at), h.wants(at)
		o := min(want, max(c*h.own/(h.own+h.lent), c-ask))
		n := min(ask, max(c-o, 0))
		own += (o - own) * min(1, tick/lag)
		lent += (n - lent) * min(1, tick/lag)
		if own+lent > c {
			lent = c - own
		}
		h.took, h.gave = append(h.took, own), append(h.gave, lent)
		ownIn += own * tick
		lentIn += lent * tick
		if ask == 0 && lent < 1 { // no tunnel asks
			ownIn, lentIn, asked = 0, 0, at+tick
		} else if d := at + tick - asked; d >= yield.Step.Seconds()-1e-9 {
			now := start.Add(time.Duration((at + tick) * float64(time.Second)))
			bound = l.Bound(now, ownIn/d, lentIn/d, h.waits != nil && h.waits(at))
			ownIn, lentIn, asked = 0, 0, at+tick
		}
	}
	return h
}

// mean is of the seconds from to to.
func mean(rates []float64, from, to float64) float64 {
	sum, n := 0.0, 0
	for _, r := range rates[int(from/tick):min(len(rates), int(to/tick))] {
		sum += r
		n++
	}
	return sum / float64(n)
}

func always(v float64) func(float64) float64 { return func(float64) float64 { return v } }

func after(at, v float64) func(float64) float64 {
	return func(t float64) float64 {
		if t < at {
			return 0
		}
		return v
	}
}

func TestNobodyIsHeldWhereTheOwnerDoesNothing(t *testing.T) {
	for _, own := range []float64{0, 50e3} {
		h := (&home{line: always(4 * mb), own: 1, lent: 4, wants: always(own)}).live(60)
		if got := mean(h.gave, 5, 60); got < 3.9*mb {
			t.Errorf("members get %.2f MB/s of 4 beside %.0f B/s", got/mb, own)
		}
	}
}

// A download through a tunnel takes all it gets.
func TestADownloadOfTheOwnerGetsMostOfTheLine(t *testing.T) {
	for _, flows := range []float64{1, 4, 16} {
		h := (&home{line: always(4 * mb), own: 1, lent: flows, wants: after(5, math.Inf(1))}).live(125)
		first, all := mean(h.took, 6, 8), mean(h.took, 8, 125)
		t.Logf("against %.0f flows: %.2f, then %.2f of 4 MB/s", flows, first/mb, all/mb)
		if first < 0.8*4*mb || all < 0.82*4*mb {
			t.Errorf("against %.0f flows the owner gets %.2f, then %.2f of 4 MB/s", flows, first/mb, all/mb)
		}
	}
}

// What members asked for until then was less than the line bears. That it bears more is
// tried, but not at the cost of half a download.
func TestALineJudgedTooSmall(t *testing.T) {
	asks := func(at float64) float64 {
		if at < 10 {
			return 3.6 * mb
		}
		return math.Inf(1)
	}
	h := (&home{line: always(4 * mb), own: 1, lent: 8, wants: after(10, math.Inf(1)), asks: asks}).live(60)
	for at := 12.0; at < 60; at += 8 {
		got := mean(h.took, at, at+8)
		t.Logf("from %v s: the owner gets %.2f of 4 MB/s", at, got/mb)
		if got < 0.8*4*mb {
			t.Errorf("from %v s the owner gets %.2f of 4 MB/s", at, got/mb)
		}
	}
}

// Members who come while the owner downloads find the line taken.
func TestMembersWhoComeLateWait(t *testing.T) {
	h := (&home{line: always(4 * mb), own: 1, lent: 8, wants: after(5, math.Inf(1)), asks: after(20, math.Inf(1))}).live(60)
	if first, all := mean(h.took, 20, 22), mean(h.took, 25, 60); first < 0.8*4*mb || all < 0.82*4*mb {
		t.Errorf("the owner gets %.2f, then %.2f of 4 MB/s", first/mb, all/mb)
	}
}

// A first packet that a full line has swallowed is sent again after a second. Then there
// is room for it. Who gets no answer in an empty line stops lending for some moments only.
func TestWhoWaitsFindsRoom(t *testing.T) {
	for _, own := range []float64{0, 300e3} {
		h := home{line: always(4 * mb), own: 1, lent: 8, wants: always(own)}
		h.waits = func(at float64) bool { return 20.25 <= at && at < 21.1 || 40 <= at }
		h.live(240)
		before, waits, after := mean(h.gave, 19, 20), mean(h.gave, 20.9, 21.1), mean(h.gave, 24, 40)
		if before < 2*mb || waits > 0.1*mb || after < 2*mb {
			t.Errorf("beside %.0f B/s: members get %.2f MB/s before, %.2f while the owner waits, %.2f then", own, before/mb, waits/mb, after/mb)
		}
		if got := mean(h.gave, 44, 240); got < 0.85*after {
			t.Errorf("beside %.0f B/s: members get %.2f MB/s of %.2f where an owner always waits", own, got/mb, after/mb)
		}
	}
}

// A call leaves most of the line to members, and takes what it needs.
func TestACallDoesNotStopLending(t *testing.T) {
	for _, began := range []float64{0, 20} {
		h := (&home{line: always(4 * mb), own: 1, lent: 4, wants: after(began, 150e3)}).live(140)
		got, lent := mean(h.took, 25, 140), mean(h.gave, 25, 140)
		t.Logf("the call gets %.0f KB/s, members %.2f MB/s", got/1e3, lent/mb)
		if got < 149e3 {
			t.Errorf("the call gets %.0f of 150 KB/s", got/1e3)
		}
		if lent < 0.79*4*mb {
			t.Errorf("members get %.2f of 4 MB/s beside a call", lent/mb)
		}
		if share := h.full(25, 140, 4*mb); share > 0.15 {
			t.Errorf("the line is full for %.0f %% of a call", 100*share)
		}
	}
}

// A film comes at its own pace, a third of the line.
func TestAFilmIsNotDisturbed(t *testing.T) {
	film := (&home{line: always(4 * mb), own: 1, lent: 8, wants: after(5, 1.3*mb)}).live(120)
	if got, lent := mean(film.took, 6, 120), mean(film.gave, 10, 120); got < 1.23*mb || lent < 0.5*4*mb {
		t.Errorf("the film gets %.2f of 1.3 MB/s, members %.2f", got/mb, lent/mb)
	}
}

// pages of size bytes are asked for every so many seconds and come as fast as they may.
// It returns how many seconds one takes and what members get, on average.
func pages(lent float64, size, every, seconds float64) (page, gave float64) {
	left, next, taken, n, seen := 0.0, every, 0.0, 0.0, 0
	var h *home
	h = &home{line: always(4 * mb), own: 1, lent: lent, wants: func(at float64) float64 {
		for ; seen < len(h.took); seen++ {
			left = max(0, left-h.took[seen]*tick)
		}
		if at >= next {
			left, next = size, next+every
			n++
		}
		if left < 1000 {
			return 0
		}
		taken += tick
		return math.Inf(1)
	}}
	h.live(seconds)
	return taken / n, mean(h.gave, 0, seconds)
}

func TestPagesGoFirst(t *testing.T) {
	for _, c := range []struct{ size, every, times float64 }{
		{2 * mb, 20, 2.2}, {2 * mb, 7, 2.2}, {6 * mb, 30, 1.6}, {8 * mb, 6, 1.6},
	} {
		alone, _ := pages(0, c.size, c.every, 200)
		beside, gave := pages(8, c.size, c.every, 200)
		name := fmt.Sprintf("%.0f MB every %.0f s", c.size/mb, c.every)
		t.Logf("%s: %.2f s alone, %.2f s beside members, who get %.2f MB/s", name, alone, beside, gave/mb)
		if beside > c.times*alone {
			t.Errorf("%s: a page takes %.2f s beside members, %.2f alone", name, beside, alone)
		}
		if rest := 4*mb - c.size/c.every; gave < 0.6*rest {
			t.Errorf("%s: members get %.2f MB/s of %.2f", name, gave/mb, rest/mb)
		}
	}
}

// The line becomes a slower one and a faster one beside a call.
func TestTheLineChanges(t *testing.T) {
	line := func(at float64) float64 {
		if 40 <= at && at < 100 {
			return mb
		}
		return 4 * mb
	}
	h := (&home{line: line, own: 1, lent: 8, wants: after(5, 150e3)}).live(180)
	if got := mean(h.took, 10, 180); got < 143e3 {
		t.Errorf("the call gets %.0f of 150 KB/s", got/1e3)
	}
	for _, c := range []struct{ from, to, least float64 }{{10, 40, 3.2}, {52, 100, 0.7}, {112, 180, 3.2}} {
		if got := mean(h.gave, c.from, c.to); got < c.least*mb {
			t.Errorf("from %v to %v s members get %.2f MB/s", c.from, c.to, got/mb)
		}
	}
	if share := h.full(52, 100, mb); share > 0.2 {
		t.Errorf("the slower line is full for %.0f %% of the time", 100*share)
	}
}

// full is the part of the time in which the line was full: then a queue forms.
func (h *home) full(from, to, line float64) float64 {
	n := 0
	for i := int(from / tick); i < int(to/tick); i++ {
		if h.took[i]+h.gave[i] > 0.97*line {
			n++
		}
	}
	return float64(n) * tick / (to - from)
}

// A slow server of the owner's says nothing about the line, nor do members who ask for little.
func TestSlowServersDoNotStopLending(t *testing.T) {
	asks := func(at float64) float64 {
		if at < 60 {
			return 100e3
		}
		return math.Inf(1)
	}
	h := (&home{line: always(4 * mb), own: 1, lent: 4, wants: always(200e3), asks: asks}).live(180)
	if got := mean(h.gave, 5, 60); got < 55e3 { // it is thought to be all of the line
		t.Errorf("members get %.0f of 100 KB/s", got/1e3)
	}
	if got := mean(h.gave, 95, 180); got < 0.8*4*mb {
		t.Errorf("members get %.2f of 4 MB/s", got/mb)
	}
}

// steps are so many seconds of the same, and what the bound is at their end.
func steps(l *yield.Line, now *time.Time, seconds, own, lent float64) (bound float64) {
	for range int(seconds / yield.Step.Seconds()) {
		*now = now.Add(yield.Step)
		bound = l.Bound(*now, own, lent, false)
	}
	return bound
}

func TestAClockSetBackHoldsNobody(t *testing.T) {
	var l yield.Line
	now := time.Unix(1e9, 0)
	steps(&l, &now, 5, 0, 4*mb)
	if b := steps(&l, &now, 0.3, 300e3, 4*mb); b > mb {
		t.Errorf("what begins finds lending at %.0f B/s", b)
	}
	now = now.Add(-time.Hour)
	if b := steps(&l, &now, 10, 300e3, 3*mb); b < mb {
		t.Errorf("after a while lending is at %.0f B/s", b)
	}
}

// After a sleep the machine may be somewhere else: what its line there bore does not count.
func TestALongSilenceIsForgotten(t *testing.T) {
	for silence, forgotten := range map[time.Duration]bool{time.Minute: false, time.Hour: true} {
		var l yield.Line
		now := time.Unix(1e9, 0)
		steps(&l, &now, 5, 0, 40*mb)
		now = now.Add(silence)
		// 500 KB/s begin, which is much of a slow line and little of the fast one
		steps(&l, &now, 1, 10e3, mb)
		if b := steps(&l, &now, 3, 500e3, 500e3); b > 30*mb == forgotten {
			t.Errorf("after %v the bound is %.0f B/s", silence, b)
		}
	}
}
