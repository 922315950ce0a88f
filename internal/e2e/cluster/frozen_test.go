package cluster

import (
	"fmt"
	"sync"
	"testing"
	"time"

	ranges "dtpx/range"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
)

// A machine that stands still for a while in mid-download (a lid that is closed, a
// processor that others have) does not take its own silence for that of all others:
// what has come meanwhile is there when it goes on, and is not fetched again.
func TestRequesterFrozen(t *testing.T) {
	t.Parallel()
	const size = 48 * mib
	h := newHouse(t, testbed.Config{}, faultRate, faultRate, faultRate, faultRate)
	h.group(hostel.Lend)
	for _, d := range []time.Duration{time.Second, 3 * time.Second} {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			h := h.sub(t)
			url := h.URL("https", fmt.Sprintf("/%dMiB/frozen-%v", size/mib, d))
			var once sync.Once
			var wg sync.WaitGroup
			got := h.fetch(h.Rooms[0], url, func(n int64) {
				if n > size/4 {
					once.Do(func() {
						wg.Go(func() {
							must(t, h.Rooms[0].Freeze())
							time.Sleep(d)
							must(t, h.Rooms[0].Thaw())
						})
					})
				}
			})
			wg.Wait()
			i := h.download(h.Rooms[0])
			t.Logf("%.1f s, longest gap %v, %d bytes twice, %v", got.Total.Seconds(), got.Longest, i.Duplicate, bySource(i))
			if got.Longest < d/2 {
				t.Errorf("it was not frozen: the longest gap is %v", got.Longest)
			}
			if i.Duplicate > size*15/1000 {
				t.Errorf("%d bytes were fetched twice", i.Duplicate)
			}
			if n := bySource(i)[ranges.KindPeer]; n < size/2 {
				t.Errorf("peers brought %d bytes", n)
			}
		})
	}
}
