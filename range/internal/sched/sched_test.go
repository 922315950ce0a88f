package sched

import (
	"strings"
	"testing"
	"time"

	"dtpx/range/internal/span"
)

const ms = time.Millisecond

func TestHedgeOfASilentHead(t *testing.T) {
	g := newPlay(t, 400, 200, nil, 20, 20).run(3600 * ms)
	g.rates[0] = 0
	fell := g.now
	g.until("a second request for the byte that the reader waits for", time.Second, func() bool {
		q := g.p.blocked()
		return q != nil && q.hedge != nil && q.hedge.src.id == 2
	})
	if d := g.now - fell; d < g.p.p.Soft {
		t.Errorf("after %v of silence: an RTO makes gaps of 0.35 s without any failure", d)
	}
	if q := g.p.source(1); q.strikes != 0 || q.gone {
		t.Errorf("the silent source was punished: %v", g.p)
	}
	g.run(g.p.p.Hard)
	if g.p.source(1).strikes == 0 || len(g.p.source(1).reqs) > 0 {
		t.Errorf("silent for %v and still trusted: %v", g.now-fell, g.p)
	}
}

func TestHedgesKeepWithinTheirBudget(t *testing.T) {
	g := newPlay(t, 2000, 200, nil, 20, 20)
	for range 40 { // two sources that pause in turns, as Wi-Fi does
		g.rates[0] = 0
		g.run(900 * ms)
		g.rates[0] = 20
		g.run(600 * ms)
	}
	if g.p.hedged > g.p.p.HedgeBudget+g.p.p.MaxSlice {
		t.Errorf("hedges cost %d, budget %d", g.p.hedged, g.p.p.HedgeBudget)
	}
}

// Who brings the next byte first keeps the range; the other is cut.
func TestHedgeRace(t *testing.T) {
	for _, c := range []struct {
		first    func(owner, hedge *request) *request
		ownerCut bool
	}{
		{func(owner, _ *request) *request { return owner }, false},
		{func(_, hedge *request) *request { return hedge }, true},
	} {
		p, owner := owned(t)
		h := p.hedgeHead(owner, p.source(2), 2*time.Second)
		if h == nil {
			t.Fatalf("no hedge: %v", p)
		}
		p.Opened(h.id, 2100*ms)
		w := c.first(owner, h)
		p.Got(w.id, cell/8, 2200*ms)
		if owner.cut != c.ownerCut || h.cut == c.ownerCut {
			t.Errorf("owner cut: %v, hedge cut: %v", owner.cut, h.cut)
		}
		loser := owner
		if w == owner {
			loser = h
		}
		if n := p.Want(loser.id, 2200*ms); n >= 0 {
			t.Errorf("the loser may read %d more", n)
		}
		if p.free.Size() != 4*cell-w.end { // a hedge is a slice at most; the rest is for all
			t.Errorf("the winner owns up to %d, free %v", w.end, p.free.Ranges())
		}
	}
}

// A hedge that breaks after its first bytes must not have cost the owner its
// range: the bird in the hand may only have been slow.
func TestHedgeProvesItselfFirst(t *testing.T) {
	p, owner := owned(t)
	h := p.hedgeHead(owner, p.source(2), 2*time.Second)
	p.Opened(h.id, 2100*ms)
	p.Got(h.id, 1, 2200*ms)
	if owner.cut || p.Want(owner.id, 2200*ms) <= 0 {
		t.Errorf("cut for one byte: %v", p)
	}
	p.Ended(h.id, Reset, 0, true, 2300*ms)
	if fresh, _ := p.Got(owner.id, 10, 2400*ms); owner.cut || owner.hedge != nil || len(fresh) != 1 || fresh[0].Len() != 9 {
		t.Errorf("the owner brought %v: %v", fresh, p)
	}
}

// owned is a plan of eight cells, the first four owned by a request of source
// 1 that says nothing, the others by one of source 2.
func owned(t *testing.T) (*Plan, *request) {
	t.Helper()
	p := New(Default(8*cell, 8*cell), 8*cell, false)
	r := p.Join(at(0, 8), 0, 0)
	p.AddSource(SourceInfo{Lanes: 1, RTT: 20 * ms, Rate: 4 * cell})
	p.AddSource(SourceInfo{Lanes: 2, RTT: 20 * ms, Rate: 4 * cell})
	p.engaged = true
	var first *request
	for i, own := range []span.Range{at(0, 4), at(4, 8)} {
		q := p.newRequest(p.source(SourceID(i+1)), own, 0)
		p.free.Remove(own)
		p.Opened(q.id, 0)
		if i == 0 {
			first = q
		}
	}
	p.Got(2, 100, 1900*ms)
	p.Waiting(r, true, 0)
	return p, first
}

// A hedge whose owner fails inherits all it was to bring.
func TestHedgeInherits(t *testing.T) {
	p, owner := owned(t)
	h := p.hedgeHead(owner, p.source(2), 2*time.Second)
	p.Ended(owner.id, Reset, 0, true, 2100*ms)
	if h.hedges != nil || h.pos != 0 || p.free.Size() != 4*cell-h.end {
		t.Errorf("hedge owns [%d,%d), free %v", h.pos, h.end, p.free.Ranges())
	}
	p.Ended(h.id, Reset, 0, true, 2200*ms)
	if got := p.free.Ranges(); len(got) != 1 || got[0] != at(0, 4) {
		t.Errorf("free %v", got)
	}
}

// Of a host that bears one connection, one that is stalled for good must not
// keep the others out once its range is another's: it owns nothing that closing
// it could lose, and while it is open nobody may be asked.
func TestStalledThatOwnsNothingMakesRoom(t *testing.T) {
	for _, lost := range []struct {
		how string
		do  func(p *Plan, q *request)
	}{
		{"to its hedge", func(p *Plan, q *request) { q.end, q.cut = q.pos, true }},
		{"to a thief", func(p *Plan, q *request) { q.end = q.pos }},
	} {
		g := newPlay(t, 100, 100, []int{4}, 40)
		g.bears[0] = 1
		g.until("one connection", 10*time.Second, func() bool { return g.p.source(1).ceiling == 1 })
		g.rates[0] = 0
		q := g.p.reqs[0]
		rest := span.Range{Start: q.pos, End: q.end}
		lost.do(g.p, q)
		g.p.giveBack(rest) // the other one has failed as well
		opened := len(g.opens)
		g.until("another request, having lost "+lost.how, 10*time.Second, func() bool { return len(g.opens) > opened })
		g.rates[0] = 40
		g.until("the rest", time.Minute, g.p.Complete)
	}
}

func TestLateHeadIsSplit(t *testing.T) {
	g := newPlay(t, 1000, 600, nil, 30, 30).run(4 * time.Second)
	g.rates[0] = 1 // not silent, only late: a slice of 30 cells would take 30 s
	g.until("the late head to be split", 5*time.Second, func() bool {
		q := g.p.blocked()
		return q != nil && q.src.id == 2
	})
	if n := g.p.source(1).strikes; n != 0 {
		t.Errorf("%d strikes for being slow", n)
	}
}

// At the end there is nothing left to assign: who is done takes a part of what
// would end last, so that both end together.
func TestStealAtTheEnd(t *testing.T) {
	p, slow := owned(t)
	p.source(2).info.Lanes, p.source(2).lanes = 1, 1
	p.Got(slow.id, 100, 1900*ms) // alive, at 100 bytes in 1.9 s
	p.Got(2, 4*cell-100, 2*time.Second)
	p.Ended(2, Done, 0, false, 2*time.Second)
	acts, _ := p.Step(2 * time.Second)
	if len(acts) != 1 || acts[0].Kind != Open || acts[0].Source != 2 || acts[0].Range.End != 4*cell {
		t.Fatalf("%+v\n%v", acts, p)
	}
	if slow.end != acts[0].Range.Start || slow.wire.End != 4*cell {
		t.Errorf("victim owns up to %d, thief from %d", slow.end, acts[0].Range.Start)
	}
}

// The last moments of a slice are not worth a theft.
func TestNoTheftOfCrumbs(t *testing.T) {
	p, q := owned(t)
	p.Got(q.id, 4*cell-1000, 2*time.Second)
	p.Got(2, 4*cell-100, 2*time.Second)
	p.Ended(2, Done, 0, false, 2*time.Second)
	if acts, _ := p.Step(2 * time.Second); len(acts) != 0 {
		t.Errorf("%+v", acts)
	}
}

func TestReturnedRangesComeFirst(t *testing.T) {
	g := newPlay(t, 1000, 600, nil, 30, 30, 30).run(3 * time.Second)
	q := g.p.reqs[0]
	lost := span.Range{Start: q.pos, End: q.end}
	since := g.now
	g.end(q, Reset)
	if lost.Empty() || g.p.free.From(lost.Start).End < lost.End {
		t.Fatalf("not given back: %v of %v", lost, g.p)
	}
	g.until("the lost range to be asked for", time.Second, func() bool { return g.p.free.SizeWithin(lost) == 0 })
	for _, o := range g.opens {
		if o.at > since && o.Range.Start > lost.End && o.Range.Start < lost.Start {
			t.Errorf("%+v before what was lost", o)
		}
	}
}

func TestCarryThroughStoredBytes(t *testing.T) {
	for _, c := range []struct {
		name    string
		ceiling int
		left    string // how the request that reads on stands afterwards
		want    int64
	}{
		{"no other connection is possible", 1, "reads through", 2 * cell},
		{"another one is", 0, "is cut", -1},
	} {
		p := New(Default(8*cell, 8*cell), 8*cell, false)
		p.Join(at(0, 8), 0, 0)
		p.AddSource(SourceInfo{Lanes: 4, Ceiling: c.ceiling, RTT: 20 * ms, Rate: cell})
		id := p.Adopt(1, at(0, 8), 20*ms, 0)
		p.split0(0)
		p.Preload(at(2, 4))
		q := p.request(id)
		q.end = min(q.end, 2*cell)
		p.refree()
		p.Got(id, 2*cell, 2*time.Second)
		if got := p.Want(id, 2*time.Second); got != c.want {
			t.Errorf("%s: may read %d, want that it %s\n%v", c.name, got, c.left, p)
		}
		if c.want > 0 {
			fresh, _ := p.Got(id, 2*cell, 3*time.Second)
			if len(fresh) != 0 || p.source(1).wasted != 2*cell {
				t.Errorf("%s: stored %v twice, wasted %d", c.name, fresh, p.source(1).wasted)
			}
		}
	}
}

// Helpers that bring a byte and break leave crumbs in the way of slice 0. It
// reads over them instead of ending where nobody else has got anywhere.
func TestReadsOverCrumbs(t *testing.T) {
	p := New(Default(8*cell, 8*cell), 8*cell, false)
	p.Join(at(0, 8), 0, 0)
	p.AddSource(SourceInfo{Lanes: 4, RTT: 20 * ms, Rate: cell})
	id := p.Adopt(1, at(0, 8), 20*ms, 0)
	p.split0(0)
	q := p.request(id)
	q.end = cell
	p.Preload(span.Range{Start: cell, End: cell + 3})
	p.refree()
	other := p.newRequest(p.source(1), at(2, 8), 0) // what it owns leaves less than a slice to slice 0
	p.refree()
	p.Got(id, cell, time.Second)
	if n := p.Want(id, time.Second); n != 3 {
		t.Errorf("may read %d, want the 3 stored bytes in its way\n%v", n, p)
	}
	p.Got(id, 3, time.Second)
	if n := p.Want(id, time.Second); n < cell-3 || other.cut {
		t.Errorf("may then read %d", n)
	}
}

func TestWaitsForTheWindowAndWakes(t *testing.T) {
	g := newPlay(t, 400, 40, nil, 100)
	g.stopped = true
	g.run(3 * time.Second)
	if got := g.draw(0, 60); strings.Count(got, "#") != 40 || got[40:] != strings.Repeat(".", 20) {
		t.Errorf("reader stopped: %s", got)
	}
	if _, wake := g.p.Step(g.now); wake != 0 {
		t.Errorf("wakes at %v while only the reader can change anything", wake)
	}
	if s := g.p.source(1); s.strikes > 0 || len(s.reqs) == 0 {
		t.Errorf("waiting was taken for silence: %v", g.p)
	}
	g.stopped = false
	g.until("the rest", 10*time.Second, g.p.Complete)
	if n := g.p.source(1).wasted; n != 0 {
		t.Errorf("%d wasted", n)
	}
}

func TestHopeless(t *testing.T) {
	g := newPlay(t, 400, 100, nil, 20, 20).run(time.Second)
	for i := 0; !g.p.Hopeless(); i++ {
		if i > 1000 {
			t.Fatalf("hope without end: %v", g.p)
		}
		for _, q := range append([]*request(nil), g.p.reqs...) {
			g.end(q, Reset)
		}
		g.rates = []float64{0, 0}
		g.run(time.Second)
	}
	if g.now > 3*time.Minute {
		t.Errorf("gave up after %v", g.now)
	}
}

// A cache that does not hold the missing bytes is no hope.
func TestHopelessWithACacheThatLacksTheBytes(t *testing.T) {
	p := New(Default(8*cell, 8*cell), 8*cell, false)
	r := p.Join(at(0, 8), 0, 0)
	held := span.Of(at(4, 8))
	p.AddSource(SourceInfo{Lanes: 1})
	p.AddSource(SourceInfo{Lanes: 1, Only: &held})
	p.Preload(at(4, 8))
	p.source(1).gone = true
	if !p.Hopeless() {
		t.Error("waits for bytes that nobody holds")
	}
	p.Leave(r)
	p.Join(at(4, 8), 0, 0)
	if p.Hopeless() && !p.Complete() {
		t.Error("all is stored")
	}
}

// Who was not called for a while does not take that for the silence of the others:
// what they have brought meanwhile is about to be read. Silence after that counts.
func TestOwnSleepIsNoSilence(t *testing.T) {
	for _, sleep := range []time.Duration{500 * ms, 3 * time.Second, time.Hour} {
		g := newPlay(t, 8000, 8000, nil, 50, 50, 50).run(4 * time.Second)
		before := len(g.opens)
		g.now += sleep
		g.event = true
		g.step()
		if acts := g.opens[before:]; len(acts) > 0 {
			t.Errorf("after %v: %+v", sleep, acts)
		}
		g.rates[1], g.rates[2] = 0, 0
		g.until("others help", 2*time.Second, func() bool { return g.p.source(1).requests > 0 && len(g.opens) > before })
	}
}

// A server that thinks for half a second looks far away. That it falls silent in
// mid-body is noticed all the same, soon where the path is known to be short.
func TestSlowToAnswerIsNotFar(t *testing.T) {
	for path, bound := range map[time.Duration]time.Duration{0: 1100 * ms, 2 * ms: 500 * ms} {
		g := newPlay(t, 800, 800, nil, 40, 40)
		own := g.p.sources[0]
		own.rtt, own.info.Follows = 500*ms, true
		g.p.Path(own.id, path)
		g.run(time.Second)
		own.rtt, g.rates[0] = 500*ms, 0
		longest, waits := time.Duration(0), time.Duration(0)
		g.adjust = func() {
			if waits += 10 * ms; !g.p.reader(g.reader).waiting {
				waits = 0
			}
			longest = max(longest, waits)
		}
		g.until("the first hedge has won", 10*time.Second, func() bool { return g.p.Have(0).Start == 0 && g.p.reader(g.reader).pos > 60*cell })
		if longest > bound {
			t.Errorf("path of %v: the reader waited for %v", path, longest)
		}
		if path > 0 {
			continue
		}
		g.until("all is there", time.Minute, g.p.Complete)
		if longest > 1800*ms {
			t.Errorf("for requests without an answer: the reader waited for %v", longest)
		}
	}
}
