package sched

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever happens to the others, what one living source can bring comes: no request
// asks for nothing, and the reader does not wait for long. Sources go silent, crawl,
// reset and come back at random, near and far ones, alone and all but one at once.
func TestAnythingButOne(t *testing.T) {
	const seeds = 400
	for _, c := range []struct {
		far   bool
		bound time.Duration // the longest wait there is, and a little: there are no other seeds
	}{{false, 1100 * ms}, {true, 3 * time.Second}} {
		longest, of := time.Duration(0), uint64(0)
		for seed := range uint64(seeds) {
			if w := anythingButOne(t, seed, c.far); w > longest {
				longest, of = w, seed
			}
		}
		t.Logf("far %v: at most %v, of seed %d", c.far, longest, of)
		if longest > c.bound {
			t.Errorf("far %v, seed %d: the reader waited for %v", c.far, of, longest)
		}
	}
}

func anythingButOne(t *testing.T, seed uint64, far bool) (longest time.Duration) {
	rng := rand.New(rand.NewPCG(seed, 1))
	k := 2 + rng.IntN(4)
	usual := make([]float64, k)
	for i := range usual {
		usual[i] = 5 + 55*rng.Float64()
	}
	g := newPlay(t, 600, 100+rng.Int64N(500), nil, usual...)
	g.rates = append([]float64(nil), usual...)
	if far {
		g.rtt = time.Duration(40+rng.IntN(100)) * ms
	}
	for _, s := range g.p.sources {
		s.rtt, s.info.RTT, s.info.Follows = g.rtt, g.rtt, rng.IntN(2) == 0
	}
	lives := rng.IntN(k)
	usual[lives] = max(usual[lives], 30)
	g.rates[lives] = usual[lives]
	var waits time.Duration
	next := Time(0)
	g.adjust = func() {
		if g.p.reader(g.reader).waiting {
			waits += 10 * ms
		} else {
			waits = 0
		}
		longest = max(longest, waits)
		if g.now < next {
			return
		}
		next = g.now + time.Duration(100+rng.IntN(1500))*ms
		i := rng.IntN(k)
		if i == lives {
			return
		}
		switch rng.IntN(5) {
		case 0:
			g.rates[i] = 0
		case 1:
			g.rates[i] = 0.5 + 2*rng.Float64()
		case 2:
			for _, q := range append([]*request(nil), g.p.sources[i].reqs...) {
				g.end(q, Reset)
			}
		default:
			g.rates[i] = usual[i]
		}
	}
	g.until("all is there", 10*time.Minute, g.p.Complete)
	return longest
}
