package ranges

import (
	"io"
	"time"

	"dtpx/internal/cork"
)

// CPU goes per wake-up, not per byte: of the threads here, of the program that
// downloads, and of the machine that relays. So whoever had to wait for bytes of
// a slow flow pauses for a moment before it takes the next ones.
const (
	gatherBytes = 96 << 10 // worth a wake-up
	gatherMin   = 3 * time.Millisecond
	gatherMax   = 16 * time.Millisecond // no client notices, and no socket's buffer is full by then
	slowFlow    = 32e6                  // bytes/s, above which enough gathers by itself
	// A relay brings what has gathered there, every 32 or 48 ms: until lateMax
	// less than expected is no reason to look.
	lateMax   = 64 * time.Millisecond
	layersMax = 128 << 10             // may have come to the layers of TLS already, and then nothing more comes
	flowSpan  = 50 * time.Millisecond // over which the rate is taken
)

// flow knows how fast bytes go one way. It is used by one goroutine at a time.
type flow struct {
	since time.Time
	bytes int64   // since then
	rate  float64 // bytes/s over the last flowSpan; 0 = not yet known
}

// add notes n bytes.
func (f *flow) add(n int, now time.Time) {
	if f.since.IsZero() {
		f.since = now
	}
	f.bytes += int64(n)
	if d := now.Sub(f.since); d >= flowSpan {
		f.rate = max(float64(f.bytes)/d.Seconds(), 1)
		f.since, f.bytes = now, 0
	}
}

// pause is how long to let bytes gather when rest of them are still to come; 0
// where the flow is fast, where its rate is not yet known, and at its end.
func (f *flow) pause(rest int64) time.Duration {
	if f.rate == 0 || f.rate > slowFlow {
		return 0
	}
	d := time.Duration(float64(min(gatherBytes, rest)) / f.rate * float64(time.Second))
	if d < gatherMin/2 {
		return 0
	}
	return min(max(d, gatherMin), gatherMax)
}

// rest pauses until what the flow should bring meanwhile has come: each segment
// before would wake a thread.
func (f *flow) rest(still int64, lull *cork.Lull) {
	d := f.pause(still)
	if d == 0 {
		lull.End()
		return
	}
	limit := lateMax
	if still < layersMax {
		limit = d * 5 / 4
	}
	if !lull.Wait(int(f.rate*d.Seconds()), limit) {
		time.Sleep(d)
	}
}

// lullOf is for the connection that body comes by, nil where others use it too.
func lullOf(body io.Reader) *cork.Lull {
	if t, ok := body.(*turn); ok {
		return t.c.lull
	}
	return nil
}
