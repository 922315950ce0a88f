package main

import (
	"testing"
	"time"
)

// A film of 70 % of what all links bring together plays without a break from a
// second after each seek on, and a seek shows its first byte soon.
func TestPlayer(t *testing.T) {
	for _, c := range []struct {
		what string
		rtt  time.Duration
		mbps []float64
		own  int // lanes of the own line
	}{
		{"4x2", 30 * time.Millisecond, []float64{2, 2, 2, 2}, 1},
		{"4/3/2/1", 30 * time.Millisecond, []float64{4, 3, 2, 1}, 1},
		{"own line the slowest", 30 * time.Millisecond, []float64{1, 4, 3, 2}, 1},
		{"4x2, 60 ms", 60 * time.Millisecond, []float64{2, 2, 2, 2}, 1},
		{"4x4, own line of 16 lanes", 10 * time.Millisecond, []float64{4, 4, 4, 4}, 16},
		{"4x4, own line of 16 lanes, 30 ms", 30 * time.Millisecond, []float64{4, 4, 4, 4}, 16},
	} {
		sum, links := 0.0, each(c.mbps...)(nil)
		for i, r := range c.mbps {
			sum += r * mb
			links[i].rtt, links[i].dial = c.rtt, true
		}
		links[0].lanes = c.own
		for seed := range uint64(4) {
			r := watch(links, 2e9, 64<<20, 0.7*sum, seed)
			if r.seeks < 8 || r.rebuffered > 0 || r.seek > 500*time.Millisecond+c.rtt {
				t.Errorf("%s, seed %d: %d seeks, first byte after %v, %v without bytes", c.what, seed, r.seeks, r.seek, r.rebuffered)
			}
		}
	}
}
