package sched

import (
	"testing"
	"time"
)

// bound is a download of 8 lanes that all are worth having, bound to n.
func bound(t *testing.T, n int) *play {
	g := newPlay(t, 20000, 2000, []int{8}, 4).run(5 * time.Second)
	if got := len(g.p.source(1).reqs); got < 8 {
		t.Fatalf("%d requests: %v", got, g.p)
	}
	g.p.SetLanes(1, n, g.now)
	g.event = true
	return g
}

func TestBoundLanesEndSoonAndComeBack(t *testing.T) {
	for _, n := range []int{1, 2, 5} {
		g := bound(t, n).run(100 * ms)
		lasting := 0
		for _, q := range g.p.source(1).reqs {
			if g.p.eta(q, g.now) >= shedAfter {
				lasting++
			}
		}
		if lasting > n {
			t.Errorf("bound to %d: %d go on: %v", n, lasting, g.p)
		}
		g.run(shedAfter)
		for range 50 {
			if got := len(g.run(100 * ms).p.source(1).reqs); got > 2*n {
				t.Errorf("bound to %d: %d requests at %v: %v", n, got, g.now, g.p)
			}
		}
		g.p.SetLanes(1, 0, g.now)
		g.until("all lanes again", time.Second, func() bool { return len(g.p.source(1).reqs) >= 8 })
		if s := g.p.Stats(1, g.now); !s.Cramped || s.Refused > 0 || s.Ceiling > 0 {
			t.Errorf("a bound says nothing about the host: %+v", s)
		}
	}
}

// What is bound from the start tries more when it may.
func TestLanesAreTriedOnceTheyMay(t *testing.T) {
	for _, n := range []int{1, 3} {
		g := newPlay(t, 20000, 2000, []int{8}, 4)
		g.p.SetLanes(1, n, 0)
		if got := g.run(4 * time.Second).p.source(1).lanes; got != n {
			t.Errorf("%d lanes, bound to %d", got, n)
		}
		g.p.SetLanes(1, 0, g.now)
		g.until("all lanes", 2*time.Second, func() bool { return len(g.p.source(1).reqs) >= 8 })
	}
}

// Lanes that brought nothing do not come back with the bound's end.
func TestUselessLanesStayAway(t *testing.T) {
	g := newPlay(t, 20000, 2000, []int{8}, 32)
	g.adjust = func() { g.rates[0] = 32 / float64(max(1, len(g.p.source(1).reqs))) } // one line for all
	g.run(6 * time.Second)
	if got := g.p.source(1).lanes; got != 1 {
		t.Fatalf("%d lanes on a full line: %v", got, g.p)
	}
	g.p.SetLanes(1, 1, g.now)
	g.run(3 * time.Second)
	g.p.SetLanes(1, 0, g.now)
	if got := g.run(3 * time.Second).p.source(1).lanes; got != 1 {
		t.Errorf("%d lanes after the bound: %v", got, g.p)
	}
}

func TestBusy(t *testing.T) {
	g := newPlay(t, 1000, 20, nil, 20).run(time.Second)
	if !g.p.Busy() {
		t.Errorf("takes nothing: %v", g.p)
	}
	g.stopped = true
	if g.run(5 * time.Second); g.p.Busy() {
		t.Errorf("takes a part of the line with a full window: %v", g.p)
	}
}

// One connection was right the last time: beside others no more are tried, and none
// is added that is on no trial.
func TestOneLaneThatIsKnownStaysOne(t *testing.T) {
	for _, shown := range []bool{true, false} {
		g := film(t, shown)
		g.p.source(1).info.Start = 1
		if n := g.most(1, 8*time.Second); n > 1 {
			t.Errorf("shown %v: %d connections to a host of which one is known to do", shown, n)
		}
	}
}
