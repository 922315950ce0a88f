package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Windows are reused, not collected, so a large heap holds little garbage: it need
// not grow by a whole window before it is collected. A small one must not be collected
// all the time, though: serving small files that would take a third of the processor.
// So it may grow by gcLeast or gcPercent, whichever is more.
const (
	gcPercent = 10
	gcLeast   = 16 << 20
)

// tuneGC keeps to that, after each collection, unless the user has a wish.
func tuneGC() {
	if os.Getenv("GOGC") != "" {
		return
	}
	set := 0
	var again func(*[16]byte)
	again = func(*[16]byte) {
		if p := gcTarget(liveHeap()); p != set {
			set = p
			debug.SetGCPercent(p)
		}
		runtime.SetFinalizer(new([16]byte), again) // garbage at once: it is for the next one
	}
	again(nil)
}

// gcTarget is GOGC for so many bytes that live, in steps, as changing it stops the
// world for a moment.
func gcTarget(live uint64) int {
	p := int(gcLeast * 100 / max(live, 1<<20))
	return max(gcPercent, p/5*5)
}

func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
