package cluster

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// A member on two networks answers on one of them only: its cable was pulled, or that
// network is another one of the same number. Downloads give up what is silent for longer
// than a second, so nobody may wait for the dead address first.
func TestDeadAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, slow)
	b, a := r.join(nil), r.join(nil)
	r.together()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody speaks
	must(t, err)
	defer silent.Close()
	p := a.peer(b)
	p.mu.Lock()
	p.addrs = append([]netip.AddrPort{silent.Addr().(*net.TCPAddr).AddrPort()}, p.addrs...)
	p.mu.Unlock()
	began := time.Now()
	c, err := a.through(b, r.url("/1MiB/a"))
	must(t, err)
	c.Close()
	if took := time.Since(began); took > reachTime/2 {
		t.Errorf("took %v", took)
	}
	if p.addresses()[0] == silent.Addr().(*net.TCPAddr).AddrPort() {
		t.Error("the dead address is still the first one")
	}
}

// What was wrong with a member that had gone is over when it is here again, at the
// same address too.
func TestTroubleOfOneWhoIsBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, slow)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, free.Close())
	b := r.join(func(o *Options) { o.Listen = free.Addr().String() })
	a := r.join(nil)
	r.together()
	p := a.peer(b)
	trouble := func() string { return a.Info().Members[0].Trouble }
	_, err = LeaveGroup(b.dir)
	must(t, err)
	b.Reload()
	a.sees(0)
	eventually(t, "b has closed its port", func() bool {
		c, err := p.dial(t.Context(), target(r.url("/1MiB/a"), false))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if trouble() == "" {
		t.Error("nobody is told that it was not reached")
	}
	_, err = EnterGroup(b.dir, r.group)
	must(t, err)
	b.Reload()
	a.sees(1)
	if was := trouble(); was != "" || !p.lends(time.Now()) {
		t.Errorf("is here, and yet: %s", was)
	}
}
