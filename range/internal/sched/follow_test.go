package sched

import (
	"testing"
	"time"

	"dtpx/range/internal/span"
)

// A request that waits behind one that has begun to crawl, or never did anything else,
// is taken over or gets a connection of its own before a reader waits for long.
func TestFollowerOfOneThatCrawls(t *testing.T) {
	for _, from := range []time.Duration{0, 500 * time.Millisecond, 2 * time.Second} {
		for _, rate := range []float64{1, 2, 4, 8} {
			g := newPlay(t, 800, 800, nil, 64, 64)
			g.rtt = 60 * time.Millisecond
			far := g.p.sources[1]
			far.info.Follows, far.rtt = true, g.rtt
			var waits, longest time.Duration
			followed := false
			g.adjust = func() {
				for _, q := range far.reqs {
					followed = followed || q.ahead != nil && g.now > from
				}
				if from < time.Second || followed {
					g.rates[1] = rate
				}
				if g.now < from && from < time.Second {
					g.rates[1] = 0
				}
				if waits += 10 * time.Millisecond; !g.p.reader(g.reader).waiting {
					waits = 0
				}
				longest = max(longest, waits)
			}
			g.until("all is there", time.Minute, g.p.Complete)
			t.Logf("from %v at %v cells/s: waited %v, followed %v, all in %v", from, rate, longest, followed, g.now)
			if longest > 500*time.Millisecond {
				t.Errorf("from %v at %v cells/s the reader waited for %v", from, rate, longest)
			}
		}
	}
}

// What little a request owns that has to wait for its turn is worth taking if another
// source would have brought it by then.
func TestSplitCountsTheWait(t *testing.T) {
	for wait, want := range map[time.Duration]int64{20 * time.Millisecond: 0, 400 * time.Millisecond: 0, 4 * time.Second: cell / 2} {
		p := New(Default(100*cell, 100*cell), 100*cell, true)
		p.Join(at(0, 100), 0, 0)
		rtt := 50 * time.Millisecond
		near, far := p.source(p.AddSource(SourceInfo{Lanes: 1, RTT: rtt})), p.source(p.AddSource(SourceInfo{Lanes: 1, RTT: rtt, Follows: true}))
		near.meter.add(64*cell, time.Second)
		far.meter.add(cell, time.Second)
		ahead := p.newRequest(far, span.Range{Start: 50 * cell, End: 50*cell + int64(wait.Seconds()*cell)}, 0)
		ahead.opened(0)
		q := p.newRequest(far, span.Range{End: cell / 2}, 0)
		q.ahead, ahead.behind = ahead, q
		got := int64(0)
		if thief := p.split(q, near, p.laneRate(near), rtt); thief != nil {
			got = thief.rest()
		}
		if got != want || q.rest() != cell/2-want {
			t.Errorf("%v before its turn: %d bytes taken, %d left", wait, got, q.rest())
		}
	}
}

// A request that waits behind a silent one for an answer that nobody needs any more has
// nothing to give: what is stolen is the silent one's.
func TestNothingIsNotStolen(t *testing.T) {
	p := New(Default(100*cell, 100*cell), 100*cell, true)
	p.Join(at(0, 100), 0, 0)
	rtt := 50 * time.Millisecond
	near, far := p.source(p.AddSource(SourceInfo{Lanes: 1, RTT: rtt})), p.source(p.AddSource(SourceInfo{Lanes: 1, RTT: rtt, Follows: true}))
	near.meter.add(64*cell, time.Second)
	far.meter.add(64*cell, time.Second)
	silent := p.newRequest(far, at(0, 8), 0)
	silent.opened(0)
	idle := p.newRequest(far, at(8, 16), 0)
	idle.ahead, silent.behind = silent, idle
	idle.end = idle.pos
	p.free = span.Set{}
	if got := p.split(idle, near, p.laneRate(near), 2*time.Second); got != nil {
		t.Errorf("from what owns nothing %v was taken", got.wire)
	}
	if got := p.steal(near, 2*time.Second); got == nil || got.wire != at(0, 8) {
		t.Errorf("stolen: %+v", got)
	}
}

// A request that others have outrun, before it spoke, does not bring it all once more.
func TestOutrun(t *testing.T) {
	g := newPlay(t, 100, 100, nil, 50, 50).run(100 * ms)
	q := g.p.newRequest(g.p.source(2), at(50, 60), g.now)
	g.p.free.Remove(at(50, 60))
	g.p.Opened(q.id, g.now)
	g.p.Got(q.id, 1000, g.now)
	if want := g.p.Want(q.id, g.now); want < cell {
		t.Fatalf("before: wants %d", want)
	}
	g.p.have.Add(at(50, 60))
	if want := g.p.Want(q.id, g.now); want >= 0 {
		t.Errorf("after: wants %d more", want)
	}
}

// A fast request that has come to what others were asked for a moment ago reads on a
// little, waits for their answers then, and goes on if none come.
func TestWaitsForANeighbourToSpeak(t *testing.T) {
	for _, speaks := range []bool{true, false} {
		g := newPlay(t, 1000, 1000, nil, 50, 50).run(100 * ms)
		q := g.p.newRequest(g.p.source(1), at(500, 900), g.now)
		q.end = 510 * cell
		o := g.p.newRequest(g.p.source(2), at(510, 700), g.now)
		g.p.free.Remove(at(500, 700))
		g.p.Opened(q.id, g.now)
		read := func() (n int64) {
			for {
				want := g.p.Want(q.id, g.now)
				if want <= 0 {
					return n
				}
				g.p.Got(q.id, want, g.now)
				n += want
			}
		}
		if n := read(); n != 14*cell || !q.waiting {
			t.Fatalf("it has read %d of %d and waits: %v", n, 14*cell, q.waiting)
		}
		g.now += tickTime
		if acts := g.p.resume(nil, g.now); len(acts) != 1 || acts[0].Req != q.id {
			t.Fatalf("not woken: %+v", acts)
		}
		if speaks {
			g.p.Opened(o.id, g.now)
			g.p.Got(o.id, cell, g.now)
		}
		if n := read(); (n == 0) != speaks || q.waiting {
			t.Errorf("speaks %v: it has read %d more, waits: %v", speaks, n, q.waiting)
		}
	}
}
