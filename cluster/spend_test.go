package cluster

import (
	"strings"
	"sync/atomic"
	"testing"

	ranges "dtpx/range"
)

// capped is a member whose own link may bring so many bytes a day.
func (r *rig) capped(bytes int64) *node {
	r.t.Helper()
	var engine atomic.Pointer[ranges.Engine]
	n := r.join(func(o *Options) {
		o.Cap = bytes
		o.Spent = func() (total int64) {
			if e := engine.Load(); e != nil {
				for _, d := range e.Downloads() {
					total += brought(d, ranges.KindDirect)
				}
			}
			return total
		}
	})
	engine.Store(n.engine)
	return n
}

// The own link brings what is left of the cap and members the rest; where nobody
// lends any more, the own link ends the download all the same.
func TestCapBoundsTheOwnLink(t *testing.T) {
	t.Parallel()
	r := newRig(t, slow)
	a := r.capped(4 * mib)
	b, c := r.join(nil), r.join(nil)
	r.together()
	own := func(url string) int64 {
		t.Helper()
		d := r.get(a, r.url(url))
		n := brought(d, ranges.KindDirect)
		if sum := n + brought(d, ranges.KindPeer); d.State != "done" || sum != d.Size {
			t.Errorf("%s: %s, %d of %d bytes", url, d.State, sum, d.Size)
		}
		return n
	}
	// Without a cap it would be a third. What a reader waits for comes by any way.
	if n := own("/48MiB/a"); n < 2*mib || n > 6*mib {
		t.Errorf("own link: %d bytes of a cap of 4 MiB", n)
	}
	if n := own("/24MiB/b"); n > 3*mib {
		t.Errorf("own link: %d bytes, and the cap was used up", n)
	}
	must(t, b.Close())
	must(t, c.Close())
	a.sees(0)
	if a.Spare(1) || !b.Spare(1<<40) {
		t.Error("of the cap something is left for what nobody waits for, or nothing where there is no cap")
	}
	if n := own("/4MiB/c"); n != 4*mib {
		t.Errorf("own link: %d bytes, and nobody lends", n)
	}
}

// Cap and quotas together do not suffice: it is said so, and the download ends.
func TestCapAndQuotaUsedUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, slow)
	a := r.capped(2 * mib)
	r.join(func(o *Options) { o.Lend.Quota = 6 * mib })
	r.together()
	d := r.get(a, r.url("/16MiB/a"))
	if n := brought(d, ranges.KindDirect); d.State != "done" || n < 10*mib || n > 13*mib {
		t.Errorf("%s, own link: %d bytes", d.State, n)
	}
	// A tunnel that ends gives back what it had reserved, which others may have been
	// refused for; so a download more may find something.
	eventually(t, "said in dtpx peers", func() bool {
		r.get(a, r.url("/8MiB/b"))
		return strings.Contains(a.Info().Note, "quotas are used up")
	})
}
