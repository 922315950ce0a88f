package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dtpx/cluster/internal/group"
)

// hub is a LAN in memory. Streams carry no TLS; handshakeBytes stands for it.
type hub struct {
	mu    sync.Mutex
	wires map[netip.AddrPort]*memWire
	cut   func(a, b netip.Addr) bool // true: no way from a to b
	tap   []tapped                   // what an eavesdropper has heard, if there is one
	taps  bool
}

type tapped struct {
	to netip.AddrPort
	p  Packet
}

// handshakeBytes is what each side of a stream sends for mutual TLS 1.3 with the
// group's certificates, FIN and headers included (TestHandshakeBytes).
const handshakeBytes = 2500

// headers of a UDP packet over IPv4.
const packetHeaders = 28

type memWire struct {
	hub     *hub
	packets chan Packet
	streams chan net.Conn

	mu        sync.Mutex
	at        netip.AddrPort
	sent, got atomic.Int64
	largest   atomic.Int64
}

func newHub() *hub {
	return &hub{wires: map[netip.AddrPort]*memWire{}, cut: func(a, b netip.Addr) bool { return false }}
}

func (h *hub) wire(at netip.AddrPort) *memWire {
	w := &memWire{hub: h, packets: make(chan Packet, 512), streams: make(chan net.Conn, 16)}
	w.move(at)
	return w
}

func (w *memWire) move(at netip.AddrPort) {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.hub.wires, w.at)
	w.at = at
	if at.IsValid() {
		w.hub.wires[at] = w
	}
}

func (w *memWire) Advertise() netip.AddrPort {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *memWire) Packets() <-chan Packet   { return w.packets }
func (w *memWire) Streams() <-chan net.Conn { return w.streams }

var errNoWay = errors.New("no way")

func (h *hub) way(from, to netip.AddrPort) (*memWire, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.wires[to]
	if w == nil || !from.IsValid() || h.cut(from.Addr(), to.Addr()) {
		return nil, errNoWay
	}
	return w, nil
}

func (h *hub) eavesdrop(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.taps = on
}

func (h *hub) hear(to netip.AddrPort, p Packet) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.taps {
		h.tap = append(h.tap, tapped{to, p})
	}
}

// replay sends again what was heard until now, to those who are there still.
func (h *hub) replay() {
	h.mu.Lock()
	all := h.tap[:len(h.tap):len(h.tap)]
	h.mu.Unlock()
	for _, each := range all {
		if there, err := h.way(each.p.From, each.to); err == nil {
			select {
			case there.packets <- Packet{Buf: append([]byte(nil), each.p.Buf...), From: each.p.From}:
			default:
			}
			time.Sleep(100 * time.Microsecond) // or the queue would be full
		}
	}
}

func (w *memWire) WriteTo(b []byte, to netip.AddrPort) error {
	n := int64(len(b) + packetHeaders)
	w.sent.Add(n)
	w.largest.Store(max(w.largest.Load(), int64(len(b))))
	there, err := w.hub.way(w.Advertise(), to)
	if err != nil {
		return nil // as UDP does
	}
	there.got.Add(n)
	w.hub.hear(to, Packet{Buf: append([]byte(nil), b...), From: w.Advertise()})
	// No time.AfterFunc for a delay: many of them in a bubble end the race
	// detector by SIGSEGV (Go 1.26, in time.goFunc).
	select {
	case there.packets <- Packet{Buf: append([]byte(nil), b...), From: w.Advertise()}:
	default:
	}
	return nil
}

func (w *memWire) DialStream(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	there, err := w.hub.way(w.Advertise(), to)
	if err != nil {
		select { // SYNs without an answer
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(3 * time.Second):
			return nil, err
		}
	}
	here, far := net.Pipe()
	w.sent.Add(handshakeBytes)
	w.got.Add(handshakeBytes)
	there.sent.Add(handshakeBytes)
	there.got.Add(handshakeBytes)
	select {
	case there.streams <- memConn{far, there, w, w.Advertise()}:
		return memConn{here, w, there, to}, nil
	default:
		return nil, errNoWay
	}
}

type memConn struct {
	net.Conn
	mine, theirs *memWire
	to           netip.AddrPort
}

func (c memConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	bytes := int64(n + 40*(1+n/1400) + 22*(1+n/16384)) // IP, TCP and TLS headers
	c.mine.sent.Add(bytes)
	c.theirs.got.Add(bytes)
	return n, err
}

func (c memConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.to) }

// node is one member in a test.
type node struct {
	*Pool
	wire *memWire
	id   group.NodeID
	busy atomic.Int32

	mu    sync.Mutex
	meta  Meta
	seeds []netip.AddrPort
	lists [][]Member
}

var testKeys = [][]byte{[]byte("0123456789abcdef0123456789abcdef")}

func addr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 4711)
}

func ident(i int) (id group.NodeID) {
	copy(id[:], fmt.Sprintf("node %d", i))
	return id
}

func (h *hub) node(t testing.TB, i int) *node {
	n := &node{wire: h.wire(addr(i)), id: ident(i), meta: Meta{Name: "laptop", Lends: true, Rate: 1 << 20, Quota: 10 << 30, Left: 5<<30 + int64(i), Digest: 1 << 63}}
	n.start(t)
	return n
}

func (n *node) start(t testing.TB) {
	t.Helper()
	var err error
	n.Pool, err = Start(Options{
		ID: n.id, Keyring: testKeys, Wire: n.wire,
		Meta: func() Meta { n.mu.Lock(); defer n.mu.Unlock(); return n.meta },
		Changed: func(list []Member) {
			if n.busy.Add(1) != 1 {
				t.Error("Changed called concurrently")
			}
			n.mu.Lock()
			n.lists = append(n.lists, list)
			n.mu.Unlock()
			n.busy.Add(-1)
		},
		Seeds: func() []netip.AddrPort { n.mu.Lock(); defer n.mu.Unlock(); return n.seeds },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Pool.Close)
}

// die is what a crash is.
func (n *node) die() {
	n.wire.move(netip.AddrPort{})
	n.Pool.Close()
}

// changes are the lists that Changed got.
func (n *node) changes() [][]Member {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lists
}

func (n *node) member(id group.NodeID) (m Member, ok bool) {
	for _, m := range n.Members() {
		if m.ID == id {
			return m, true
		}
	}
	return m, false
}

// until waits in synctest's time and returns how long it took.
func until(t testing.TB, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !ok() {
		if time.Since(begin) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(begin)
}

func complete(nodes []*node) func() bool {
	return func() bool {
		for _, n := range nodes {
			if len(n.Members()) != len(nodes)-1 {
				return false
			}
		}
		return true
	}
}

// lan starts nodes that have all joined the first.
func lan(t testing.TB, h *hub, count int) (nodes []*node) {
	t.Helper()
	for i := range count {
		n := h.node(t, i+1)
		nodes = append(nodes, n)
		if i > 0 {
			if k, err := n.Join(nodes[0].wire.Advertise()); k != 1 {
				t.Fatal(err)
			}
		}
	}
	return nodes
}
