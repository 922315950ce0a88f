package ranges_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"dtpx/internal/testbed"
)

// TestLinks: over links with delay and loss the right bytes arrive, and not
// much later than an ideal client with all connections from the start on would
// have them. The clock is fake, so the times are exact.
func TestLinks(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		delay   time.Duration // one way
		down    int64         // of the link
		perConn int64
		loss    float64
		size    string
		ideal   time.Duration
		over    float64 // times ideal
		ramp    int     // and so many round trips
	}{
		// 16 connections of 512 KiB/s: 16 MiB in 2 s at best.
		{10 * time.Millisecond, 0, mib / 2, 0, "16MiB", 2 * time.Second, 1.35, 12},
		{30 * time.Millisecond, 0, mib / 2, 0, "16MiB", 2 * time.Second, 1.45, 12},
		{100 * time.Millisecond, 0, mib / 2, 0, "16MiB", 2 * time.Second, 1.6, 12},
		// One link that a single connection fills: nothing to gain, nothing to lose.
		{10 * time.Millisecond, 4 * mib, 0, 0, "16MiB", 4 * time.Second, 1.08, 4},
		{30 * time.Millisecond, 4 * mib, 0, 0, "16MiB", 4 * time.Second, 1.3, 4}, // 4.1 s mostly, 5.1 s once in a while
		// A window of 256 KiB per 200 ms is 1.25 MiB/s a connection: several fill the link.
		{100 * time.Millisecond, 4 * mib, 0, 0, "16MiB", 4 * time.Second, 1.25, 4},
		// Losses stop one connection for 250 ms each.
		{10 * time.Millisecond, 0, mib / 2, 0.01, "16MiB", 2 * time.Second, 1.35, 12},
		{30 * time.Millisecond, 0, mib / 2, 0.01, "16MiB", 2 * time.Second, 1.5, 12},
		{100 * time.Millisecond, 0, mib / 2, 0.01, "16MiB", 2 * time.Second, 1.9, 12},
	} {
		name := fmt.Sprintf("%v, link %d, connection %d, loss %v", 2*c.delay, c.down, c.perConn, c.loss)
		synctest.Test(t, func(t *testing.T) {
			m := newMem(t, testbed.Config{TLSListen: "off", Limits: testbed.Limits{PerConn: c.perConn, MaxConns: 16}},
				testbed.Shape{Delay: c.delay, Down: c.down, Loss: c.loss}, nil)
			url := testbed.URL(m.origin.HTTP, c.size+"/f")
			began := time.Now()
			m.whole(url, m.get(url))
			took := time.Since(began)
			limit := time.Duration(float64(c.ideal)*c.over) + time.Duration(2*c.ramp)*c.delay
			d := m.last()
			t.Logf("%s: %v, ideal %v, limit %v, longest wait %d ms, %d duplicate", name, took, c.ideal, limit, d.StallMS, d.Duplicate)
			if took > limit {
				t.Errorf("%s: %v, want at most %v", name, took, limit)
			}
			if stall := time.Duration(d.StallMS) * time.Millisecond; stall > time.Second {
				t.Errorf("%s: the client waited %v in mid-body", name, stall)
			}
		})
	}
}
