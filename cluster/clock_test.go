package cluster

import (
	"sync/atomic"
	"testing"
	"time"

	ranges "dtpx/range"

	"dtpx/cluster/internal/relay"
)

// A lender whose clock jumps, in mid-download: at most its own slices are lost,
// and its accounts stay right. By weeks its certificates are no good any more.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]time.Duration{
		"three hours on": 3 * time.Hour, "three hours back": -3 * time.Hour, "a day on": 25 * time.Hour, "six weeks on": 1000 * time.Hour, "six weeks back": -1000 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, slow)
			a := r.join(nil)
			var off atomic.Int64
			b := r.join(func(o *Options) {
				o.Lend.Quota = 64 * mib
				o.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
			})
			r.join(nil)
			r.together()
			before := r.get(a, r.url("/16MiB/before"))
			lent := lentBy(b)
			off.Store(int64(jump))
			d := r.get(a, r.url("/16MiB/after"))
			if n := brought(d, ranges.KindPeer); n < 2*mib {
				t.Errorf("the others brought %d bytes", n)
			}
			if n := brought(before, ranges.KindPeer); n < 4*mib || lent < mib {
				t.Errorf("before: %d bytes, lent %d", n, lent)
			}
			// What was reserved and not used is given back: a step for each of
			// two connections.
			if now := lentBy(b); now < lent-2*relay.Step {
				t.Errorf("lent %d, and after the jump %d", lent, now)
			}
		})
	}
}

// lentBy is what a node has lent on all days.
func lentBy(n *node) (sum int64) {
	for _, x := range n.ledger.Totals() {
		sum += x.Lent
	}
	return sum
}

// A member that has something to lend again, because a new day began or a tunnel
// gave back what it had reserved, is asked as soon as it says so, not when the
// pause after its refusal is over.
func TestQuotaComesBack(t *testing.T) {
	r := newRig(t, slow)
	a := r.join(nil)
	var off atomic.Int64
	b := r.join(func(o *Options) {
		o.Lend.Quota = 3 * mib
		o.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	})
	r.together()
	url := target(r.url("/16MiB/b"), false)
	if len(a.Sources(url)) != 1 {
		t.Fatal("nobody to borrow from")
	}
	r.get(a, r.url("/16MiB/a"))
	if n := len(a.Sources(url)); n != 0 {
		t.Fatalf("%d with something left: %+v", n, b.Info().Self)
	}
	off.Store(int64(24 * time.Hour))
	eventually(t, "asked again", func() bool { return len(a.Sources(url)) == 1 })
}
