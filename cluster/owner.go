package cluster

import (
	"net/netip"
	"sync"
	"time"

	"dtpx/cluster/internal/port"
	"dtpx/cluster/internal/yield"
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
	at    time.Time // of the last step; zero before the first
	moved int64     // by all tunnels until then
	bound float64   // bytes/s from then on
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

	own, st := s.c.o.Busy(), s.relay.Stats()
	s.mu.Lock()
	defer s.mu.Unlock()
	l, lent := &s.lending, 0.0
	if d > 0 {
		lent = float64(st.Up+st.Down-l.moved) / d.Seconds()
	}
	l.moved = st.Up + st.Down
	l.bound = l.line.Bound(now, own, max(0, lent), s.c.o.Waits())
	return l.bound
}
