// Package traffic knows how much of a line connections use, when it comes over the line
// and not when somebody reads it.
package traffic

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"dtpx/internal/special"
	"dtpx/internal/tcpinfo"
)

// Meter counts what connections move. They stay as they are, so that the kernel can
// splice them; it is asked what it has moved, where it says so (Linux). The zero value
// counts all connections; its methods may be called concurrently.
type Meter struct {
	// Counts tells whether what goes to an address uses the line; nil is all do.
	// Write-once.
	Counts func(netip.Addr) bool

	mu     sync.Mutex // guards what follows
	conns  []conn
	prune  int   // conns from which on closed ones are looked for
	pruned int64 // moved since asked, until closed ones were last looked for
	asked  time.Time
	rate   float64
	stuck  bool              // when last looked: a connection waited for an answer
	dials  map[int]time.Time // those that run, and when they began
	dialed int               // in all
}

type conn struct {
	net.Conn
	moved int64
}

const (
	pruneLeast = 64
	// A rate is taken over rateLeast at least, so that several may ask, and over
	// rateMost at most: what moved before that says nothing about now.
	rateLeast = 50 * time.Millisecond
	rateMost  = 2 * time.Second
)

// Internet is a Counts for the line that is lent: what is public goes over it, and what
// members may reach besides.
func Internet(also []netip.Prefix) func(netip.Addr) bool {
	return func(a netip.Addr) bool {
		class := special.Class(a)
		return class == "" || class == "nat64" || slices.ContainsFunc(also, func(p netip.Prefix) bool { return p.Contains(a) })
	}
}

// Dial is a function that dials, as of net.Dialer.
type Dial = func(ctx context.Context, network, addr string) (net.Conn, error)

// Watch counts what dial connects, and notes for how long it waits.
func (m *Meter) Watch(dial Dial) Dial {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		defer m.begin(addr)()
		c, err := dial(ctx, network, addr)
		if err == nil {
			m.Add(c)
		}
		return c, err
	}
}

// Add counts what c moves from now on.
func (m *Meter) Add(c net.Conn) {
	to, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil || m.Counts != nil && !m.Counts(to.Addr().Unmap()) {
		return
	}
	info, ok := tcpinfo.Ask(c)
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.conns) >= max(m.prune, pruneLeast) {
		m.pruned += m.lookLocked()
		m.prune = 2 * len(m.conns)
	}
	m.conns = append(m.conns, conn{c, info.Received + info.Sent})
}

// lookLocked drops what is closed, and returns what the rest has moved since the last time.
func (m *Meter) lookLocked() (moved int64) {
	open := m.conns[:0]
	m.stuck = false
	for _, c := range m.conns {
		info, ok := tcpinfo.Ask(c.Conn)
		if !ok {
			continue
		}
		now := info.Received + info.Sent
		moved += max(0, now-c.moved)
		m.stuck = m.stuck || waits(info)
		open = append(open, conn{c.Conn, now})
	}
	clear(m.conns[len(open):])
	m.conns = open
	return moved
}

// Rate is in bytes per second, both ways, since it was last asked for, which should be
// a short time ago: else it is 0 at first. What a connection moved after that before it
// was closed is not seen.
func (m *Meter) Rate(now time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := now.Sub(m.asked)
	if 0 <= d && d < rateLeast {
		return m.rate
	}
	moved := m.lookLocked() + m.pruned
	m.asked, m.rate, m.pruned = now, 0, 0
	if 0 < d && d < rateMost {
		m.rate = float64(moved) / d.Seconds()
	}
	return m.rate
}
