package sched

import (
	"fmt"
	"testing"
	"time"
)

// A server whose first connection is fine, and which breaks all later ones or lets
// them stall after a part: the download takes no longer than it would have without
// us, or hardly. Slice 0 is not given up for what has only begun well.
func TestOnlyTheFirstConnectionLasts(t *testing.T) {
	for _, after := range []int64{1, cell / 2, cell, 2 * cell} {
		for _, stalls := range []bool{false, true}[:min(2, 2*cell/after)] {
			for _, peers := range []int{0, 3} {
				t.Run(fmt.Sprintf("%d %v %d", after, stalls, peers), func(t *testing.T) {
					rates := []float64{60, 60, 60, 60}
					g := newPlay(t, 96*10, 1000, []int{16}, rates[:1+peers]...)
					first := g.p.reqs[0]
					g.hold = func(q *request) bool {
						switch {
						case q == first || q.pos-q.wire.Start < after:
							return false
						case !stalls:
							g.end(q, Reset)
						}
						return true
					}
					g.until("all is there", time.Minute, g.p.Complete)
					if ideal := 16 * time.Second; g.now > ideal*5/4 {
						t.Errorf("it took %v, alone %v", g.now, ideal)
					}
				})
			}
		}
	}
}

// A network that is away for a minute costs no download: its connections have died, and
// no new ones can be made.
func TestNetworkAway(t *testing.T) {
	g := newPlay(t, 2000, 1000, []int{4}, 60).run(4 * time.Second)
	back, last := g.now+time.Minute, g.p.nextReq
	g.hold = func(q *request) bool { return q.id <= last }
	g.adjust = func() {
		for _, q := range append([]*request(nil), g.p.reqs...) {
			if g.now < back && q.id > last {
				g.end(q, Reset)
			}
		}
	}
	g.run(time.Minute)
	g.until("it goes on", 10*time.Second, func() bool { return g.now-g.p.heard < 100*ms })
	g.until("all is there", time.Minute, g.p.Complete)
}

// Connections that have all died without a word, as after a change of the network, are
// made anew; a server that merely pauses is let go on, and not asked again and again.
func TestAllConnectionsDie(t *testing.T) {
	for _, pauses := range []bool{false, true} {
		g := newPlay(t, 2000, 1000, []int{4}, 60).run(4 * time.Second)
		died, last := g.now, g.p.nextReq
		if n := len(g.p.reqs); n != 4 {
			t.Fatalf("%d requests", n)
		}
		const pause = time.Minute
		g.hold = func(q *request) bool { return pauses && g.now < died || q.id <= last && !pauses }
		if pauses {
			died += pause
			g.run(pause)
			if n := len(g.opensOf(1, died-pause)); n > 16 {
				t.Errorf("asked %d times in a pause of %v", n, pause)
			}
		}
		g.until("it goes on", 10*time.Second, func() bool { return g.now-g.p.heard < 100*ms && g.now > died+200*ms })
		if d := g.now - died; d > 6*time.Second {
			t.Errorf("pauses %v: it goes on after %v", pauses, d)
		}
		g.until("all is there", time.Minute, g.p.Complete)
	}
}
