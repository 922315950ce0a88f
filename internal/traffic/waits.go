package traffic

import (
	"net/netip"
	"time"

	"dtpx/internal/tcpinfo"
)

const (
	// What takes longer than to the other side of the world has lost a packet, or stands
	// in a long queue. (Or the server thinks.)
	waitsLeast = 250 * time.Millisecond
	// After this, or so many losses in a row, the other side is gone, or waits itself.
	waitsMost    = 3 * time.Second
	timeoutsMost = 2
)

func waits(i tcpinfo.Info) bool {
	return waitsLeast <= i.Unanswered && i.Unanswered <= waitsMost && i.Timeouts <= timeoutsMost
}

// begin notes that a dial begins, of which it returns the end.
func (m *Meter) begin(addr string) (end func()) {
	if to, err := netip.ParseAddrPort(addr); err == nil && m.Counts != nil && !m.Counts(to.Addr().Unmap()) {
		return func() {}
	}
	// A name may lead to the LAN; but there, nobody waits for long.
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dials == nil {
		m.dials = map[int]time.Time{}
	}
	id := m.dialed
	m.dialed++
	m.dials[id] = time.Now()
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.dials, id)
	}
}

// Waits reports that a dial lasts for long, or that a new connection waited for its first
// answer for long when Rate was asked for. (On older ones much is sent that nobody answers,
// like HTTP/2's updates of windows.)
func (m *Meter) Waits(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, began := range m.dials {
		if now.Sub(began) >= waitsLeast {
			return true
		}
	}
	return m.stuck
}
