package cluster

import (
	"fmt"
	"strings"
	"testing"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
	"dtpx/internal/testbed/need"
)

// A member behind a router that translates addresses, found by cluster.join and
// reached by cluster.advertise, with another port outside: it lends and borrows.
func TestBehindNAT(t *testing.T) {
	t.Parallel()
	need.Program(t, "nft")
	h := newHouse(t, testbed.Config{}, mbps(4), mbps(4), mbps(4))
	alice, bob, carol := h.Rooms[0], h.Rooms[1], h.Rooms[2]
	outside := carol.LAN.Addr() + ":4000"
	must(t, h.Behind(carol, 4000, 3129))
	must(t, alice.Serve(hostel.Lend))
	must(t, bob.Serve(hostel.Lend))
	must(t, carol.Serve("cluster: {lend: {quota: 0}, join: ['"+alice.LAN.Addr()+":3129'], advertise: '"+outside+"'}\n"))
	code := h.code()
	h.dtpx(bob, "group", "join", code)
	h.dtpx(carol, "group", "join", code)
	h.all(findTime, "all are together", 2, alice, bob, carol)
	for _, r := range []*hostel.Room{alice, bob} {
		if said := h.dtpx(r, "peers", "-json"); !strings.Contains(said, outside) || strings.Contains(said, carol.LAN.Addr()) {
			t.Errorf("%s does not know where carol is reached: %s", r.Name, said)
		}
	}
	for _, c := range []struct{ borrower, lender *hostel.Room }{{alice, carol}, {bob, carol}, {carol, bob}} {
		h.fetch(c.borrower, h.URL("https", "/24MiB/"+c.borrower.Name), nil)
		h.lends(c.borrower, c.lender)
	}
}

// A machine with two LANs finds members on both, and borrows of both, whether the two
// know of each other or not.
func TestTwoLANs(t *testing.T) {
	t.Parallel()
	for _, routed := range []bool{true, false} {
		t.Run(fmt.Sprintf("routed %v", routed), func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, testbed.Config{}, mbps(4), mbps(4), mbps(4))
			alice, bob, carol := h.Rooms[0], h.Rooms[1], h.Rooms[2]
			must(t, h.Apart(carol, alice, routed))
			h.serve(hostel.Lend)
			code := h.code()
			h.dtpx(bob, "group", "join", code)
			h.dtpx(carol, "group", "join", code)
			h.all(findTime, "the one on both LANs finds both", 2, alice)
			if routed {
				h.all(findTime, "and those find each other", 2, bob, carol)
			}
			h.fetch(alice, h.URL("https", "/24MiB/both"), nil)
			h.lends(alice, bob)
			h.lends(alice, carol)
			for _, r := range []*hostel.Room{bob, carol} {
				h.fetch(r, h.URL("https", "/24MiB/"+r.Name), nil)
				h.lends(r, alice)
			}
			if n := h.here(alice); n != 2 {
				t.Errorf("alice has lost %d of 2", 2-n)
			}
			h.never(alice, "peer is gone")
		})
	}
}

// Networks of containers and virtual machines have the same addresses on many
// machines. Nobody looks for others there, and however many there are (docker compose
// makes one for each project), members are told of the LAN.
func TestSameBridge(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, mbps(4), mbps(4), mbps(4))
	for _, r := range h.Rooms {
		must(t, r.Bridges(18))
	}
	h.group(hostel.Lend)
	alice := h.Rooms[0]
	h.fetch(alice, h.URL("https", "/24MiB/bridge"), nil)
	h.lends(alice, h.Rooms[1])
	h.lends(alice, h.Rooms[2])
	for _, r := range h.Rooms {
		h.never(r, "peer is gone")
	}
}

// On a campus machines have public addresses only. Nothing listens there unless the
// user says that it is a LAN, and the program says so.
func TestPublicLAN(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, mbps(4), mbps(4))
	alice, bob := h.Rooms[0], h.Rooms[1]
	must(t, alice.Readdress("141.5.0.1/16"))
	must(t, bob.Readdress("141.5.0.2/16"))
	h.serve(hostel.Lend)
	h.dtpx(bob, "group", "join", h.code())
	for _, r := range h.Rooms {
		h.within(2*findTime, "it says that nobody finds it", func() bool { return strings.Contains(r.Log.String(), "cluster.interfaces") })
		if said := h.dtpx(r, "peers"); !strings.Contains(said, "cluster.interfaces") || !strings.Contains(said, r.LAN.Dev) {
			t.Errorf("peers says %s", said)
		}
		if h.listens(r) {
			t.Errorf("%s listens", r.Name)
		}
		must(t, r.Stop())
		must(t, r.Serve("cluster: {lend: {quota: 0}, interfaces: ["+r.LAN.Dev+"]}\n"))
	}
	h.all(findTime, "with the interfaces named they find each other", 1, alice, bob)
	h.fetch(alice, h.URL("https", "/24MiB/campus"), nil)
	h.lends(alice, bob)
}

// lends checks that a room's last download had a part of its bytes through another.
func (h *house) lends(borrower, lender *hostel.Room) {
	h.t.Helper()
	if n := h.source(borrower, lender.Name).Bytes; n < 24*mib/6 {
		h.t.Errorf("%s brought %s %d bytes: %+v", lender.Name, borrower.Name, n, h.download(borrower).Sources)
	}
}

// never checks that a room's dtpx has not said something.
func (h *house) never(r *hostel.Room, what string) {
	h.t.Helper()
	if n := strings.Count(r.Log.String(), what); n > 0 {
		h.t.Errorf("%s has said %q %d times", r.Name, what, n)
	}
}
