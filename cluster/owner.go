package cluster

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"dtpx/cluster/internal/port"
	"dtpx/cluster/internal/relay"
	"dtpx/cluster/internal/yield"
	"dtpx/internal/tcpinfo"
	"dtpx/internal/traffic"
)

// ownMeter knows this machine's own part.
type ownMeter struct {
	mu       sync.Mutex // guards what follows
	charged  int64
	netsAt   time.Time
	prefixes []netip.Prefix
}

func (m *ownMeter) nets(now time.Time) []netip.Prefix {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.netsAt) > time.Second || now.Before(m.netsAt) {
		m.prefixes, m.netsAt = port.Own(), now
	}
	return m.prefixes
}

// lending is what the owner's traffic leaves to tunnels.
type lending struct {
	line  yield.Line
	meter traffic.Meter // of what comes for tunnels; what they read may have come earlier
	at    time.Time     // of the last step; zero before the first
	moved int64         // by all tunnels until then
	bound float64       // bytes/s from then on
}

// dialLent is how tunnels reach their targets.
func (s *session) dialLent(ctx context.Context, to netip.AddrPort, check relay.Control) (net.Conn, error) {
	c, err := relay.DialTCP(ctx, to, check)
	if err == nil {
		s.lending.meter.Add(c)
	}
	return c, err
}

// bound is how many bytes per second the owner's traffic leaves to the members'
// tunnels; +Inf is no bound.
func (s *session) bound() float64 {
	now := s.c.o.Now()
	s.mu.Lock()
	d := now.Sub(s.lending.at)
	if 0 <= d && d < yield.Step {
		defer s.mu.Unlock()
		return s.lending.bound
	}
	s.lending.at = now // the others go by the last one meanwhile
	s.mu.Unlock()

	own, came, st := s.c.o.Busy(), s.lending.meter.Rate(now), s.relay.Stats()
	s.mu.Lock()
	defer s.mu.Unlock()
	l, lent := &s.lending, came
	if !tcpinfo.Known && d > 0 {
		lent = float64(st.Up+st.Down-l.moved) / d.Seconds()
	}
	l.moved = st.Up + st.Down
	l.bound = l.line.Bound(now, own, max(0, lent), s.c.o.Waits())
	return l.bound
}
