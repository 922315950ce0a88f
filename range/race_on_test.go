//go:build race

package ranges_test

import "os"

// sample says to play a part of the longest tests only: under the race detector
// a bubble is six times slower. The full command plays all.
var sample = os.Getenv("DTPX_FULL") == ""
