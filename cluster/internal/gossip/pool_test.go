package gossip

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs f in synctest's time. memberlist's goroutines end by timers of
// seconds after Shutdown, and those stop when the test's function returns.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(10 * time.Second) })
		f(t)
	})
}

// settle is when everybody knows everything: news travel by chance in less than a
// second, and whom they miss compares lists by then.
const settle = 45 * time.Second

func TestJoinLeaveDie(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub()
		nodes := lan(t, h, 6)
		took := until(t, settle, "all know all", complete(nodes))
		t.Logf("6 nodes know each other %v after the last joined", took)
		m, _ := nodes[3].member(ident(1))
		if m.Meta != nodes[0].meta || m.Addrs[0] != addr(1) || len(m.Addrs) != 1 {
			t.Errorf("got %+v", m)
		}

		nodes[5].Leave(time.Second)
		nodes[5].Pool.Close()
		took = until(t, settle, "all know that one left", complete(nodes[:5]))
		t.Logf("leave is known after %v", took)

		nodes[4].die()
		took = until(t, 15*time.Second, "a silent node is gone", complete(nodes[:4]))
		t.Logf("death is known after %v", took)
	})
}

func TestTwoNodesDeath(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := lan(t, newHub(), 2)
		until(t, time.Second, "both know", complete(nodes))
		nodes[1].die()
		t.Logf("death is known after %v", until(t, 15*time.Second, "gone", complete(nodes[:1])))
	})
}

func TestUpdate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := lan(t, newHub(), 5)
		until(t, settle, "all know all", complete(nodes))
		nodes[0].mu.Lock()
		nodes[0].meta.Left = 0
		nodes[0].mu.Unlock()
		nodes[0].Update()
		t.Logf("news take %v", until(t, settle, "all know the news", func() bool {
			for _, n := range nodes[1:] {
				if m, _ := n.member(ident(1)); m.Meta.Left != 0 {
					return false
				}
			}
			return true
		}))
	})
}

func TestPartitionHeals(t *testing.T) {
	for _, length := range []time.Duration{20 * time.Second, time.Minute, 10 * time.Minute} {
		t.Run(length.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHub()
				nodes := lan(t, h, 6)
				until(t, settle, "all know all", complete(nodes))
				h.setCut(func(a, b netip.Addr) bool { return a.As4()[3] <= 3 != (b.As4()[3] <= 3) })
				time.Sleep(length)
				if !complete(nodes[:3])() || !complete(nodes[3:])() {
					t.Fatal("the halves are not halves")
				}
				h.setCut(func(a, b netip.Addr) bool { return false })
				t.Logf("one again after %v", until(t, 90*time.Second, "healed", complete(nodes)))
			})
		})
	}
}

func (h *hub) setCut(f func(a, b netip.Addr) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut = f
}

func TestAddressChanges(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := lan(t, newHub(), 5)
		until(t, settle, "all know all", complete(nodes))
		mover := nodes[2]
		seen, seenByMover := len(nodes[0].changes()), len(mover.changes())
		mover.wire.move(addr(200))
		mover.Rejoin()
		took := until(t, settle, "the new address is first", func() bool {
			m, _ := nodes[0].member(mover.id)
			return len(m.Addrs) > 0 && m.Addrs[0] == addr(200)
		})
		t.Logf("new address known after %v", took)
		until(t, 15*time.Second, "the old address is forgotten", func() bool {
			m, _ := nodes[0].member(mover.id)
			return len(m.Addrs) == 1
		})
		until(t, settle, "all know all", complete(nodes))
		for _, list := range append(nodes[0].changes()[seen:], mover.changes()[seenByMover:]...) {
			if len(list) != 4 {
				t.Errorf("a move is no departure: %d members", len(list))
			}
		}
	})
}

func TestAwayAndBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := lan(t, newHub(), 3)
		until(t, settle, "all know all", complete(nodes))
		nodes[2].wire.move(netip.AddrPort{})
		nodes[2].Rejoin()
		until(t, 15*time.Second, "away", func() bool { return len(nodes[2].Members()) == 0 && len(nodes[0].Members()) == 1 })
		if _, err := nodes[2].Join(addr(1)); err != errAway {
			t.Errorf("got %v", err)
		}
		nodes[2].wire.move(addr(77))
		nodes[2].Rejoin()
		t.Logf("back after %v", until(t, settle, "back", complete(nodes)))
	})
}

func TestRestartAtTheSameAddress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := lan(t, newHub(), 3)
		until(t, settle, "all know all", complete(nodes))
		for range 6 { // more often than sessionsMax within the time a death takes
			nodes[2].die()
			nodes[2].wire.move(addr(3))
			nodes[2].start(t)
			nodes[2].Join(addr(1))
			time.Sleep(5 * time.Second)
		}
		until(t, settle, "all know all", complete(nodes))
		until(t, 60*time.Second, "one session is left", func() bool {
			return len(nodes[0].living()) == 2
		})
	})
}

func (p *Pool) living() []entry {
	e, _ := p.current()
	return e.book.living()
}

// A laptop sleeps: its goroutines and timers stand still, the others' do not.
// Here that is a cut of all its traffic, which is the same for the others.
func TestWakesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub()
		nodes := lan(t, h, 4)
		until(t, settle, "all know all", complete(nodes))
		sleeper := addr(4).Addr()
		h.setCut(func(a, b netip.Addr) bool { return a == sleeper || b == sleeper })
		time.Sleep(20 * time.Second)
		h.setCut(func(a, b netip.Addr) bool { return false })
		nodes[3].Rejoin()
		t.Logf("together after %v", until(t, settle, "together", complete(nodes)))
	})
}

func TestSeedsAreAsked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub()
		a, b := h.node(t, 1), h.node(t, 2)
		b.mu.Lock()
		b.seeds = []netip.AddrPort{addr(99), addr(1)}
		b.mu.Unlock()
		t.Logf("together after %v", until(t, 20*time.Second, "together", complete([]*node{a, b})))
	})
}

func TestIPv6(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub()
		var nodes []*node
		for i := range 3 {
			n := &node{wire: h.wire(netip.AddrPortFrom(netip.MustParseAddr("fd00::1:0").Next(), uint16(1000+i))), id: ident(i)}
			n.start(t)
			nodes = append(nodes, n)
			n.Join(nodes[0].wire.Advertise())
		}
		until(t, settle, "all know all", complete(nodes))
	})
}

func TestJoinIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newHub().node(t, 1)
		var nobody []netip.AddrPort
		for i := range 1000 {
			nobody = append(nobody, addr(100+i))
		}
		begin := time.Now()
		k, err := n.Join(nobody...)
		if took := time.Since(begin); k != 0 || !errors.Is(err, errNoWay) || took > joinTimeout {
			t.Errorf("%d joined, %v, after %v", k, err, took)
		}
		n.Pool.Close()
		if _, err := n.Join(addr(2)); err != errEnded {
			t.Errorf("got %v", err)
		}
	})
}

func TestFifty(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	bubble(t, func(t *testing.T) {
		begin := time.Now()
		nodes := lan(t, newHub(), 50)
		until(t, settle, "all know all", complete(nodes))
		t.Logf("50 nodes that join one after the other: all know all %v after the first", time.Since(begin))
		time.Sleep(10 * time.Second)
		before := make([][2]int64, 50)
		for i, n := range nodes {
			before[i] = [2]int64{n.wire.sent.Load(), n.wire.got.Load()}
		}
		const minutes = 2
		time.Sleep(minutes * time.Minute)
		var sent, got, most, largest int64
		for i, n := range nodes {
			s, g := (n.wire.sent.Load()-before[i][0])/minutes, (n.wire.got.Load()-before[i][1])/minutes
			sent, got, most, largest = sent+s/50, got+g/50, max(most, s), max(largest, n.wire.largest.Load())
		}
		t.Logf("idle, per node and minute: %d bytes sent, %d received; the busiest sent %d; largest packet %d", sent, got, most, largest)
		if most > 120<<10 || largest > packetMax {
			t.Errorf("more than 120 KiB a minute, or packets of more than %d bytes", packetMax)
		}
		nodes[49].die()
		took := until(t, 15*time.Second, "a silent node is gone from all lists", complete(nodes[:49]))
		t.Logf("death is known to all 49 after %v", took)
	})
}
