package ranges

import (
	"testing"
	"time"
)

// TestPause draws how long bytes may gather.
func TestPause(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name string
		rate float64 // bytes/s that the flow has had for a while
		rest int64
		want time.Duration
	}{
		{"a slow one waits no longer than is noticed", 1e6, 1 << 20, gatherMax},
		{"a middling one until a wake-up's worth is there", 12e6, 1 << 20, 8192 * time.Microsecond},
		{"a brisk one shortly", 30e6, 1 << 20, 3276800 * time.Nanosecond},
		{"a fast one not at all", 100e6, 1 << 20, 0},
		{"no longer than the rest takes", 4e6, 40000, 10 * ms},
		{"and not for the very end", 4e6, 4000, 0},
	} {
		var f flow
		now := time.Unix(1, 0)
		for range 20 {
			f.add(int(c.rate/100), now)
			now = now.Add(10 * ms)
		}
		if got := f.pause(c.rest); got.Round(100*time.Microsecond) != c.want.Round(100*time.Microsecond) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	var f flow
	if f.add(1<<20, time.Unix(1, 0)); f.pause(1<<20) != 0 {
		t.Error("a pause before the rate is known delays the first bytes")
	}
}

// TestFlowRate: the rate is that of the last span and no older.
func TestFlowRate(t *testing.T) {
	var f flow
	now := time.Unix(1, 0)
	for _, perMS := range []int{1000, 4000} {
		for range 120 {
			now = now.Add(time.Millisecond)
			f.add(perMS, now)
		}
		if got, want := f.rate, float64(perMS)*1000; got < 0.95*want || got > 1.05*want {
			t.Errorf("rate %.0f, want %.0f", got, want)
		}
	}
}
