package sched

import (
	"math/rand/v2"
	"testing"
	"time"

	"dtpx/range/internal/span"
)

func TestRampDoublesWithVerifiedHeads(t *testing.T) {
	g := newPlay(t, 4000, 1000, []int{16}, 20)
	seen := map[int]bool{}
	most := 0
	for range 300 {
		g.run(10 * ms)
		open := g.p.source(1).lanes
		seen[open] = true
		most = max(most, open)
	}
	for _, n := range []int{2, 4, 8, 16} {
		if !seen[n] {
			t.Errorf("never at %d lanes: %v", n, seen)
		}
	}
	if most != 16 || len(seen) > 5 {
		t.Errorf("lanes went %v", seen)
	}
	if !g.p.source(1).trial.settled || g.p.source(1).lanes != 16 {
		t.Errorf("16 connections bring 16 times as much, but: %v", g.p)
	}
}

// Lanes that bring nothing are taken back: one link shared by all.
func TestJudgeReverts(t *testing.T) {
	g := newPlay(t, 8000, 2000, []int{16}, 0)
	for range 1500 {
		g.rates[0] = 100 / float64(max(1, g.p.lively(g.p.source(1), time.Hour, g.now)))
		g.run(10 * ms)
	}
	if s := g.p.source(1); s.lanes != 1 || !s.trial.settled {
		t.Errorf("%d lanes on a link that is full with one: %v", s.lanes, g.p)
	}
}

func TestShrinkOnRefusal(t *testing.T) {
	g := newPlay(t, 4000, 1000, []int{16}, 20)
	g.bears[0] = 3
	g.run(8 * time.Second)
	s := g.p.source(1)
	if s.ceiling != 3 || s.lanes != 3 {
		t.Errorf("ceiling %d, lanes %d", s.ceiling, s.lanes)
	}
	refused := s.refused
	if g.run(20 * time.Second); s.refused != refused || refused > 4 {
		t.Errorf("refused %d times, then %d", refused, s.refused)
	}
}

// RFC 9110 §10.2.3: who says when to come back is not asked before if it serves
// nothing else, and otherwise gets no connection beyond those that it serves.
func TestRetryAfterIsKept(t *testing.T) {
	for _, alone := range []bool{false, true} {
		g := newPlay(t, 4000, 1000, []int{16}, 20).run(2 * time.Second)
		now := g.now
		for i, q := range append([]*request(nil), g.p.reqs...) {
			if alone || i > 2 {
				g.p.Ended(q.id, Overload, 5*time.Second, false, g.now)
			}
		}
		most := 0
		for range 800 {
			g.run(10 * ms)
			most = max(most, len(g.p.reqs))
		}
		got := g.opensOf(1, now+10*ms)
		if alone && (len(got) == 0 || got[0].at < now+5*time.Second) {
			t.Errorf("refused at %v, asked again at %+v", now, got[:min(1, len(got))])
		}
		if !alone && (len(got) == 0 || most > 3) {
			t.Errorf("3 were served, %d at once afterwards, %d requests", most, len(got))
		}
	}
}

func TestForgetAndLeave(t *testing.T) {
	p := New(Default(10*cell, 10*cell), 10*cell, false)
	a := p.Join(at(0, 10), 0, 0)
	b := p.Join(at(4, 8), 0, 0)
	p.Preload(at(0, 6))
	for _, c := range []struct {
		what string
		do   func()
		free []span.Range
	}{
		{"two readers", func() {}, []span.Range{at(6, 10)}},
		{"a has read 5: 4 is b's only", func() { p.Read(a, 5*cell, 0) }, []span.Range{at(6, 10)}},
		{"stored bytes behind all are forgotten", func() { p.Forget(at(0, 4)) }, []span.Range{at(6, 10)}},
		{"stored bytes that b needs are fetched again", func() { p.Forget(at(4, 6)) }, []span.Range{at(4, 10)}},
		{"b leaves", func() { p.Leave(b) }, []span.Range{at(5, 10)}},
		{"a seeks ahead", func() { p.Read(a, 9*cell, 0) }, []span.Range{at(9, 10)}},
		{"and back", func() { p.Read(a, 2*cell, 0) }, []span.Range{at(2, 10)}},
		{"a leaves", func() { p.Leave(a) }, nil},
	} {
		c.do()
		want := span.Of(c.free...)
		if len(p.free.Missing(at(0, 10))) != len(want.Missing(at(0, 10))) || p.free.Size() != want.Size() || !p.free.Has(first(c.free)) {
			t.Errorf("%s: free %v, want %v", c.what, p.free.Ranges(), c.free)
		}
	}
}

func first(rs []span.Range) span.Range {
	if len(rs) == 0 {
		return span.Range{}
	}
	return rs[0]
}

// When a reader leaves, what it alone wanted is not fetched to the end.
func TestLeaveEndsWhatNobodyWants(t *testing.T) {
	p := New(Default(20*cell, 20*cell), 20*cell, false)
	p.AddSource(SourceInfo{Lanes: 4, RTT: 20 * ms, Rate: cell})
	p.Join(at(0, 6), 0, 0)
	b := p.Join(at(4, 20), 0, 0)
	q := p.newRequest(p.source(1), at(4, 16), 0)
	p.engaged = true
	p.refree()
	p.Opened(q.id, 0)
	p.Leave(b)
	if n := p.Want(q.id, 0); n != 2*cell {
		t.Errorf("may read %d, want the two cells that the first reader needs", n)
	}
	p.Got(q.id, 2*cell, time.Second)
	if n := p.Want(q.id, time.Second); n >= 0 {
		t.Errorf("may read %d more for nobody", n)
	}
}

func TestSeveralReadersShareTheWindow(t *testing.T) {
	g := newPlay(t, 1000, 100, []int{4}, 40)
	g.stopped = true
	far := g.p.Join(at(600, 1000), 0, 0)
	ahead := g.p.Join(at(900, 1000), 1<<40, 0) // prefetch: after all clients
	g.run(6 * time.Second)
	for _, c := range []struct{ from, want int64 }{{0, 50}, {600, 50}, {900, 50}} {
		if got := g.p.Have(c.from * cell).Len(); got < (c.want-4)*cell || got > (c.want+2)*cell {
			t.Errorf("%d cells stored from %d on, want about %d", got/cell, c.from, c.want)
		}
	}
	g.p.Leave(ahead)
	g.p.Leave(far)
	g.stopped, g.event = false, true
	g.until("the first reader's end", 20*time.Second, g.p.Complete)
}

// With one connection only, a client that has paused must not hold it against
// another one that waits.
func TestPausedReaderYieldsTheOnlyConnection(t *testing.T) {
	for _, limit := range []int{1, 2} {
		g := newPlay(t, 1000, 100, []int{4}, 40)
		g.bears[0] = limit
		g.p.known = true // or nobody may join
		g.stopped = true
		g.run(10 * time.Second)
		late := g.p.Join(at(600, 640), 0, g.now)
		g.p.Waiting(late, true, g.now)
		g.event = true
		g.until("what the second reader wants", 20*time.Second, func() bool { return g.p.Have(600*cell).Len() == 40*cell })
		g.p.Leave(late)
		g.stopped = false
		g.until("the rest", time.Minute, g.p.Complete)
	}
}

func TestSeekKeepsWhatItHad(t *testing.T) {
	g := newPlay(t, 1000, 100, []int{4}, 40)
	g.stopped = true
	g.run(4 * time.Second)
	had := g.p.have.Size()
	g.p.Read(g.reader, 500*cell, g.now)
	g.run(time.Second)
	if g.p.Have(0).Len() < had || g.p.Have(500*cell).Len() < 40*cell {
		t.Errorf("after a seek: %s and %s", g.draw(0, 100), g.draw(500, 600))
	}
	g.p.Read(g.reader, 0, g.now)
	if g.p.Have(0).Len() < had {
		t.Error("lost on the way back")
	}
}

// TestAnything drives a plan with random events and holds it to its
// invariants: bytes are accepted once, owned once, and all come in the end.
func TestAnything(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		g := newPlay(t, 40+rng.Int64N(200), 8+rng.Int64N(100), []int{1 + rng.IntN(8), 1, 2}, 5+rng.Float64()*50, 5, 20)
		g.bears[0] = rng.IntN(4)
		for i := 0; i < 60 && !g.p.Complete(); i++ {
			g.run(time.Duration(rng.IntN(400)) * ms)
			anyEvent(g, rng)
		}
		g.stopped, g.event = false, true
		g.rates = []float64{30, 30, 30}
		for _, s := range g.p.sources {
			s.gone, s.strikes = false, 0
		}
		for _, r := range append([]*reader(nil), g.p.readers...) {
			if r.id != g.reader {
				g.p.Leave(r.id)
			}
		}
		g.until("the end, seed "+time.Duration(seed).String(), 5*time.Minute, g.p.Complete)
	}
}

func anyEvent(g *play, rng *rand.Rand) {
	g.event = true
	r := g.p.reader(g.reader)
	switch rng.IntN(8) {
	case 0:
		g.stopped = !g.stopped
	case 1:
		g.rates[rng.IntN(3)] = rng.Float64() * 40
	case 2:
		g.rates[rng.IntN(3)] = 0
	case 3:
		g.p.Read(g.reader, rng.Int64N(r.end), g.now)
	case 4:
		from := rng.Int64N(r.end)
		g.p.Join(span.Range{Start: from, End: from + 1 + rng.Int64N(r.end-from)}, 0, g.now)
	case 5:
		if n := len(g.p.readers); n > 1 {
			g.p.Leave(g.p.readers[1+rng.IntN(n-1)].id)
		}
	case 6:
		if n := len(g.p.reqs); n > 0 {
			g.end(g.p.reqs[rng.IntN(n)], []Cause{Done, Reset, Overload, Forbidden, Again, Mismatch}[rng.IntN(6)])
		}
	case 7:
		g.p.SetWindow(4*cell + rng.Int64N(100*cell))
		for _, gap := range g.p.Unwanted(span.Range{Start: 0, End: r.end}) {
			g.p.Forget(gap)
		}
	}
}
