package port_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"dtpx/cluster/internal/group"
	"dtpx/cluster/internal/port"
)

// patience bounds every wait; nothing comes near it unless something is broken.
const patience = 10 * time.Second

func member(t *testing.T, g group.Group, blocked func(group.NodeID) bool) *group.Member {
	t.Helper()
	return memberWith(t, g, group.NewNodeKey(), blocked)
}

func memberWith(t *testing.T, g group.Group, key group.NodeKey, blocked func(group.NodeID) bool) *group.Member {
	t.Helper()
	keys, err := g.Keys()
	if err != nil {
		t.Fatal(err)
	}
	m, err := group.NewMember(keys, key, time.Now, blocked)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newGroup(t *testing.T) group.Group {
	t.Helper()
	g, err := group.New("test", false)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// rig is a port on loopback that echoes streams.
type rig struct {
	*port.Port
	addr netip.AddrPort

	mu   sync.Mutex
	shut []group.Reason
	told chan struct{}
}

func open(t *testing.T, m *group.Member) *rig {
	t.Helper()
	r := &rig{told: make(chan struct{}, 1000)}
	p, err := port.Open(port.Options{
		Host: netip.MustParseAddr("127.0.0.1"), Interfaces: []string{"lo"}, Member: m, Kinds: []string{group.Relay},
		Handle: func(_ context.Context, c *port.Conn) { defer c.Close(); _, _ = io.Copy(struct{ io.Writer }{c}, c) },
		Refused: func(_ netip.AddrPort, why *group.Refusal) {
			r.mu.Lock()
			r.shut = append(r.shut, why.Reason)
			r.mu.Unlock()
			r.told <- struct{}{}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	r.Port, r.addr = p, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(p.Number()))
	return r
}

func (r *rig) refusal(t *testing.T) group.Reason {
	t.Helper()
	select {
	case <-r.told:
	case <-time.After(patience):
		t.Fatal("nobody was refused")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shut[len(r.shut)-1]
}

func TestStream(t *testing.T) {
	g := newGroup(t)
	b, am := member(t, g, nil), member(t, g, nil)
	a, there := open(t, am), open(t, b)
	id := b.ID()
	c, err := a.Dial(t.Context(), there.addr, &id, group.Relay)
	if err != nil {
		t.Fatal(err)
	}
	if c.Peer != id || c.Kind != group.Relay {
		t.Errorf("peer %v kind %q", c.Peer, c.Kind)
	}
	want := strings.Repeat("0123456789abcdef", 1<<16) // far more than a record
	go func() { _, _ = io.WriteString(c, want) }()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("echo differs: %v", err)
	}
	there.Drop(func(x group.NodeID) bool { return x == am.ID() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.Read(got); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after Drop: %v", err)
	}
	other := am.ID()
	if _, err := a.Dial(t.Context(), there.addr, &other, group.Relay); err == nil {
		t.Error("another node than wanted was taken")
	}
	if _, err := there.Dial(t.Context(), there.addr, nil, group.Relay); !errors.Is(err, port.ErrSelf) {
		t.Errorf("dialled itself: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	g := newGroup(t)
	stranger, blocked := member(t, newGroup(t), nil), member(t, g, nil)
	r := open(t, member(t, g, func(id group.NodeID) bool { return id == blocked.ID() }))
	for _, x := range []struct {
		who  *group.Member
		want group.Reason
	}{{blocked, group.Blocked}, {stranger, group.OtherGroup}} {
		cfg := x.who.ClientConfig(nil, group.Relay)
		cfg.VerifyConnection = nil // it would refuse first
		c, err := tls.Dial("tcp", r.addr.String(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.refusal(t); got != x.want {
			t.Errorf("got %q want %q", got, x.want)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("let in")
		}
		c.Close()
	}
}

// A machine cloned with its state is told from this one by another address, on both.
func TestClone(t *testing.T) {
	g, key := newGroup(t), group.NewNodeKey()
	a, b := open(t, memberWith(t, g, key, nil)), open(t, memberWith(t, g, key, nil))
	_, err := a.Dial(t.Context(), b.addr, nil, group.Relay)
	if why := group.Explain(err); why == nil || why.Reason != group.Cloned {
		t.Errorf("who dials gets %v", err)
	}
	if got := b.refusal(t); got != group.Cloned {
		t.Errorf("who is dialled refuses for %q", got)
	}
	if _, err := a.Dial(t.Context(), a.addr, nil, group.Relay); !errors.Is(err, port.ErrSelf) {
		t.Errorf("dialled itself: %v", err)
	}
}

func TestPlainHTTP(t *testing.T) {
	r := open(t, member(t, newGroup(t), nil))
	c, err := net.Dial("tcp", r.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 400 || !strings.Contains(string(body), "peer port of dtpx") {
		t.Errorf("%s %s", resp.Status, body)
	}
	if got := r.refusal(t); got != group.NotTLS {
		t.Errorf("logged as %q", got)
	}
}

// Connections that say nothing must not keep members out for longer than it
// takes them to be noticed, nor grow without bound.
func TestFloodOfConnections(t *testing.T) {
	g := newGroup(t)
	r := open(t, member(t, g, nil))
	for range 200 {
		c, err := net.Dial("tcp", r.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	from := open(t, member(t, g, nil))
	deadline := time.Now().Add(patience)
	for {
		c, err := from.Dial(t.Context(), r.addr, nil, group.Relay)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestPackets(t *testing.T) {
	g := newGroup(t)
	a, b := open(t, member(t, g, nil)), open(t, member(t, g, nil))
	for range 1000 { // nobody takes them: dropped, not kept
		if err := a.WriteTo([]byte("flood"), b.addr); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case p := <-b.Packets():
		if string(p.Data) != "flood" || p.From != a.addr {
			t.Errorf("%q from %v", p.Data, p.From)
		}
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	if err := a.WriteTo([]byte("x"), netip.MustParseAddrPort("[2001:db8::1]:1")); err == nil {
		t.Error("sent without an address of that family")
	}
}

func TestLAN(t *testing.T) {
	places, err := port.LAN(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range places {
		if !p.Prefix.Addr().IsPrivate() {
			t.Errorf("%v is no private address", p)
		}
	}
	if lo, _ := port.LAN([]string{"lo"}); len(lo) == 0 {
		t.Error("an interface that was named is left out")
	}
	if none, _ := port.LAN([]string{"no-such0"}); len(none) != 0 {
		t.Errorf("got %v", none)
	}
}

// Near are other machines on a LAN of this one.
func TestNear(t *testing.T) {
	p := open(t, member(t, newGroup(t), nil))
	for text, want := range map[string]bool{"127.0.0.1": false, "127.0.0.2": true, "10.0.0.1": false, "::1": false} {
		if got := p.Near(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
