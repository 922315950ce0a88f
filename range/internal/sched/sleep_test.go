package sched

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// What has come while the program did not run lies in the machine's buffers. It is
// read in any order, a little of some before the schedule knows of anything, and
// each at once: no reason to take the ranges of those whose turn is yet to come.
func TestOwnSleepWastesNothing(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		n := 400 + rnd.Int64N(600)
		g := newPlay(t, n, n, nil, 50, 50, 50, 50).run(500*ms + time.Duration(rnd.IntN(2500))*ms)
		sleep := time.Duration(1+rnd.IntN(3)) * time.Second
		g.now += sleep
		asleep, wasted := slices.Clone(g.p.reqs), int64(0)
		came := map[*request]int64{}
		for _, q := range asleep {
			came[q] = min(int64(50*cell*sleep.Seconds()), q.wire.End-q.pos)
		}
		read := func(q *request, most int64) {
			for end := came[q] - most; came[q] > max(0, end); {
				want := g.p.Want(q.id, g.now)
				if want <= 0 {
					return
				}
				n := min(want, came[q], 16<<10)
				g.p.Got(q.id, n, g.now)
				came[q] -= n
				if rnd.IntN(20) == 0 {
					g.event = true
					g.step()
				}
			}
		}
		for _, q := range asleep {
			if rnd.IntN(4) > 0 {
				read(q, 8<<10)
			}
		}
		g.event = true
		g.read()
		g.step()
		for _, i := range rnd.Perm(len(asleep)) {
			q := asleep[i]
			read(q, 1<<30)
			wasted += came[q]
			if g.now += time.Duration(rnd.IntN(30)) * ms; rnd.IntN(2) == 0 {
				g.event = true
				g.read()
				g.step()
			}
			if g.p.request(q.id) != nil && g.p.Want(q.id, g.now) < 0 {
				g.end(q, Done)
			}
		}
		g.until("all is there", 20*time.Second, g.p.Complete)
		for _, s := range g.p.sources {
			wasted += s.wasted
		}
		if wasted > 4*cell {
			t.Errorf("seed %d: %d KiB had come in vain\n%v", seed, wasted>>10, g.p)
		}
	}
}
