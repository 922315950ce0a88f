package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Windows are reused, not collected, so a large heap holds little garbage: it may
// grow by a quarter before it is collected, and not by a whole window. A quarter of
// a small one is nothing, though: serving small files, collecting would take a third
// of the processor. So it is a quarter or gcLeast, whichever is more.
const (
	gcPercent = 25
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
	return max(gcPercent, p/25*25)
}

func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
