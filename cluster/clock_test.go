package cluster

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ranges "dtpx/range"
)

// A clock that jumps in mid-download, the lender's or the requester's: at most the
// lender's own slices are lost, and the accounts of both stay right. By weeks
// certificates are no good any more; what has a path keeps it.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]time.Duration{
		"three hours on": 3 * time.Hour, "three hours back": -3 * time.Hour, "a day on": 25 * time.Hour, "six weeks on": 1000 * time.Hour, "six weeks back": -1000 * time.Hour,
	} {
		for _, whose := range []string{"lender", "requester"} {
			t.Run(whose+" "+name, func(t *testing.T) {
				t.Parallel()
				jumps(t, whose, jump)
			})
		}
	}
}

func jumps(t *testing.T, whose string, jump time.Duration) {
	r := newRig(t, slow)
	off := map[string]*atomic.Int64{"lender": new(atomic.Int64), "requester": new(atomic.Int64)}
	clock := func(of string) func() time.Time {
		return func() time.Time { return time.Now().Add(time.Duration(off[of].Load())) }
	}
	a := r.join(func(o *Options) { o.Now = clock("requester") })
	b := r.join(func(o *Options) { o.Now, o.Lend.Quota = clock("lender"), 64*mib })
	r.join(nil)
	r.together()
	before := int64(0) // lent by then
	d := r.getAnd(a, r.url("/24MiB/a"), 6*mib, func() {
		before = lentBy(b)
		off[whose].Store(int64(jump))
	})
	if before < mib {
		t.Errorf("lent before: %d bytes", before)
	}
	var lent, others int64 // by b, and by all members
	for _, s := range d.Sources {
		if s.Kind == ranges.KindPeer {
			others += s.Bytes
		}
		if strings.HasPrefix(s.Name, b.name+" ") {
			lent += s.Bytes + s.Wasted
		}
	}
	if others < 10*mib { // one of two may have been lost after a quarter
		t.Errorf("members brought %d bytes", others)
	}
	eventually(t, "all tunnels have ended", func() bool { return b.Info().Self.Tunnels == 0 })
	a.charge()
	// TLS and handshakes are paid, too.
	if n := lentBy(b); n < lent || n > lent+lent/50+mib {
		t.Errorf("on the lender's account: %d of %d bytes", n, lent)
	}
	if n := a.ledger.Totals()[keyOf(b.id())].Borrowed; n < lent || n > lent+lent/50+mib {
		t.Errorf("on the requester's account: %d of %d bytes", n, lent)
	}
}

// A board without a battery for its clock starts in 1970: it says so, and is in the
// group as soon as the clock is set.
func TestClockNotSet(t *testing.T) {
	t.Parallel()
	r := newRig(t, slow)
	r.join(nil)
	var off atomic.Int64
	off.Store(-time.Now().UnixNano())
	b := r.join(func(o *Options) { o.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) } })
	if i := b.Info(); i.Group != "test" || !strings.Contains(i.Trouble, "the clock says 1970") {
		t.Errorf("in group %q says %q", i.Group, i.Trouble)
	}
	off.Store(0)
	r.together()
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

// A first connection reserves all that is left of a quota. That the next one finds
// nothing does not end the first, nor keep other downloads away.
func TestReservedByOurselves(t *testing.T) {
	r := newRig(t, slow)
	a := r.join(nil)
	r.join(func(o *Options) { o.Lend.Quota = 600 << 10 })
	r.together()
	tls := target(r.url("/16MiB/b"), false)
	p := a.current().ranked()[0]
	first, err := p.dial(t.Context(), tls)
	must(t, err)
	var no *ranges.Unavailable
	if _, err = p.dial(t.Context(), tls); !errors.As(err, &no) || !no.OneTooMany {
		t.Fatalf("a second connection: %v", err)
	}
	if len(a.Sources(tls)) != 1 {
		t.Error("others do not ask any more")
	}
	first.Close()
	eventually(t, "what it did not use is lent again", func() bool {
		again, err := p.dial(t.Context(), tls)
		if err == nil {
			again.Close()
		}
		return err == nil
	})
}

// What a member says it has left may be reserved by others: who was refused for want
// of it asks again soon, as they give back what they do not use. Where it says that
// there is nothing, it will say when there is.
func TestReservedQuotaComesBack(t *testing.T) {
	now := time.Now()
	for left, want := range map[int64]time.Duration{0: time.Minute, 300 << 10: reservedTime} {
		p := &peer{s: &session{c: &Cluster{o: Options{Now: func() time.Time { return now }}}}}
		p.meta.Left = left
		p.fail(&refused{status: 503, reason: "quota"}, time.Minute)
		if got := p.until.Sub(now); got != want {
			t.Errorf("with %d left: a pause of %v, want %v", left, got, want)
		}
	}
}
