package cluster

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
)

// The line dies while connections are kept for reuse, as when a laptop is carried from
// one network to the next. The next request is told so in seconds, not when the kernel
// gives up a quarter of an hour later; and the one after that, over a line that lives
// again, is answered. With members and without.
func TestKeptConnections(t *testing.T) {
	t.Parallel()
	for _, rooms := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d machines", rooms), func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, testbed.Config{}, []int64{faultRate, faultRate}[:rooms]...)
			if rooms > 1 {
				h.group(hostel.Lend)
			} else {
				h.serve(hostel.Lend)
			}
			own := h.Rooms[0]
			for _, scheme := range []string{"https", "http"} {
				h.fetch(own, h.URL(scheme, "/1KiB/warm"), nil)
				var undo []func()
				for _, r := range h.Rooms {
					undo = append(undo, h.BlackHole(r))
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				began := time.Now()
				d := own.Fetch(ctx, h.URL(scheme, "/64KiB/dead"), nil)
				took := time.Since(began)
				cancel()
				for _, u := range undo {
					u()
				}
				must(t, h.Tried())
				t.Logf("%s: after %.1f s: %v", scheme, took.Seconds(), d.Err)
				if d.Err == nil || !strings.HasPrefix(d.Err.Error(), "50") || took > deadTime {
					t.Errorf("%s: %d bytes, %v, after %v", scheme, d.Bytes, d.Err, took)
				}
				h.fetch(own, h.URL(scheme, "/64KiB/alive"), nil)
			}
		})
	}
}
