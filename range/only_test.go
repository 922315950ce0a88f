package ranges_test

import (
	"testing"
	"testing/synctest"
	"time"

	"dtpx/internal/testbed"
)

// An origin whose first connection is fine, while all others break or stall after a
// part, costs hardly more time than it would without us; where that part is as much as
// is asked for at first, the first connection is gone by then.
func TestOnlyTheFirstConnectionIsGood(t *testing.T) {
	alone := map[string]time.Duration{"6MiB": 1500 * time.Millisecond, "32MiB": 8 * time.Second}
	for _, c := range []struct {
		after, fault string
		most         float64
	}{
		{"1KiB", "reset", 1.25}, {"1KiB", "stall", 1.25}, {"64KiB", "reset", 1.25}, {"64KiB", "stall", 1.25},
		{"256KiB", "reset", 2}, {"256KiB", "stall", 16}, // 5 s and more for what all connections bring once
	} {
		for size, alone := range alone {
			for _, peers := range []int{0, 3} {
				synctest.Test(t, func(t *testing.T) {
					m, ps := group(t, nil, 4*mib, 4*mib, 4*mib, 4*mib)
					m.engine.Sources = sourcesOf(ps[:peers])
					m.engine.Connections = 16
					began := time.Now()
					url := testbed.URL(m.origin.HTTPS, size+"/f", "fault="+c.fault+",req=2-,after="+c.after)
					m.whole(url, m.get(url))
					if took, most := time.Since(began), time.Duration(c.most*float64(alone))+time.Second; took > most {
						t.Errorf("%s of %s after %s, %d peers: %v, alone %v", c.fault, size, c.after, peers, took, alone)
					}
				})
			}
		}
	}
}
