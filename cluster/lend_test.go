package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"
)

// id is who n is.
func (n *node) id() NodeID {
	n.t.Helper()
	i := n.Info()
	if i.Self == nil {
		n.t.Fatalf("%s is in no group: %s", n.name, i.Trouble)
	}
	return i.Self.Node
}

// through asks lender for a tunnel to url's host, as a download's lane does.
func (n *node) through(lender *node, url string) (net.Conn, error) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	return n.peer(lender).dial(ctx, target(url, false))
}

// peer is what n knows of other.
func (n *node) peer(other *node) *peer {
	n.t.Helper()
	id := other.id()
	for _, p := range n.current().ranked() {
		if p.id == id {
			return p
		}
	}
	n.t.Fatalf("%s does not know %s", n.name, other.name)
	return nil
}

// why is the status and the word with which a tunnel was refused, "" if it was not.
func why(err error) string {
	var no *refused
	if errors.As(err, &no) {
		return fmt.Sprint(no.status, " ", no.reason)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// lent books what n lends to other.
func (n *node) lent(other NodeID, bytes int64) {
	n.t.Helper()
	got, err := n.ledger.Lend(keyOf(other)).Reserve(bytes)
	must(n.t, err)
	if got != bytes {
		n.t.Fatalf("%d of %d bytes", got, bytes)
	}
}

// isLast is whether n serves other after the rest.
func (n *node) isLast(other NodeID) bool {
	n.t.Helper()
	for _, p := range n.Info().Members {
		if p.Node == other {
			return p.Last
		}
	}
	n.t.Fatalf("%s does not show %s", n.name, other.Short())
	return false
}

// Who borrows far more than it lends, or has no account where others do, is served
// last: the other half of the slots stays for the rest.
func TestFreeRidersAreServedLast(t *testing.T) {
	t.Parallel()
	r := newRig(t, slow)
	b := r.join(func(o *Options) { o.Lend.Connections = 4 })
	fair, rider, stranger := r.join(nil), r.join(nil), r.join(nil)
	r.together()
	all := []*node{fair, rider, stranger}
	last := func(want ...bool) {
		t.Helper()
		for k, n := range all {
			if got := b.isLast(n.id()); got != want[k] {
				t.Errorf("%s is served last: %v", n.name, got)
			}
		}
	}
	must(t, b.ledger.Borrowed(ownKey, 1<<40)) // is nobody's merit, and makes nobody known
	last(false, false, false)
	b.lent(fair.id(), strangerUse+freeRide*mib)
	must(t, b.ledger.Borrowed(keyOf(fair.id()), strangerUse/freeRide+8*mib))
	b.lent(rider.id(), strangerUse)
	last(false, false, true) // nobody begins with a merit
	b.lent(rider.id(), freeRide*mib)
	last(false, true, true)

	for range 2 {
		c, err := fair.through(b, r.url("/"))
		must(t, err)
		defer c.Close()
	}
	for _, n := range []*node{rider, stranger} {
		if _, err := n.through(b, r.url("/")); why(err) != "429 connections" {
			t.Errorf("%s: %v", n.name, err)
		}
	}
	must(t, b.ledger.Borrowed(keyOf(rider.id()), strangerUse/freeRide+8*mib))
	must(t, b.ledger.Borrowed(keyOf(stranger.id()), 1))
	last(false, false, false)
	for _, n := range []*node{rider, stranger} {
		c, err := n.through(b, r.url("/"))
		if err != nil {
			t.Fatalf("%s: %v", n.name, err)
		}
		defer c.Close()
	}
}

// Nobody is taken to the lender's own subnets, public ones neither.
func TestOwnSubnetsAreNotLent(t *testing.T) {
	t.Parallel()
	r := newRig(t, slow)
	a := r.join(nil)
	now := time.Now() // stands still, so that the subnets are not asked for again
	b := r.join(func(o *Options) { o.Now = func() time.Time { return now } })
	r.together()
	b.own.mu.Lock()
	b.own.prefixes, b.own.netsAt = []netip.Prefix{netip.MustParsePrefix("1.1.1.9/24")}, now
	b.own.mu.Unlock()

	inside := netip.AddrPortFrom(netip.MustParseAddr("1.1.1.77"), uint16(portOf(t, r.origin.HTTPS)))
	rules := b.current().relay.Rules
	rules.Own = nil
	must(t, rules.Check(inside)) // nothing else speaks against it
	if _, err := a.through(b, "https://"+inside.String()+"/"); why(err) != "403 own" {
		t.Error(err)
	}
}
