package gossip

import (
	"net/netip"
	"testing"
	"time"

	"dtpx/cluster/internal/group"
)

// Who is gone is looked for soon and often at first, and at once where this machine moved,
// but not eight times a minute for ever.
func TestRetryOfTheGone(t *testing.T) {
	c, begin := newContacts(), time.Unix(1e9, 0)
	c.lose(group.NodeID{1}, netip.MustParseAddrPort("10.0.0.1:3129"), begin)
	nobody := func(group.NodeID) bool { return false }
	tries := func(from, to time.Duration) (n int) {
		for d := from; d < to; d += 10 * time.Second {
			n += len(c.retry(4, false, nobody, begin.Add(d)))
		}
		return n
	}
	if n := tries(10*time.Second, time.Minute); n < 3 {
		t.Errorf("%d tries in the first minute", n)
	}
	if n := tries(time.Minute, time.Hour); n < 25 || n > 35 {
		t.Errorf("%d tries in the first hour", n)
	}
	if n := len(c.retry(4, true, nobody, begin.Add(time.Hour))); n != 1 {
		t.Errorf("%d tries after a move", n)
	}
}
