package cluster

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// Forged adverts with the group's tag, at whose addresses somebody takes connections
// and says nothing, hold a true one up for a while; each is asked in its turn.
func TestForgedAdvertsHoldNobodyUp(t *testing.T) {
	t.Parallel()
	const forged, silent = 48, time.Second
	r := newRig(t, slow)
	a := r.join(nil)
	b := r.join(func(o *Options) { o.Join = nil })
	l, err := net.Listen("tcp", "0.0.0.0:0")
	must(t, err)
	var mu sync.Mutex
	asked := map[string]bool{}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			asked[c.LocalAddr().String()] = true
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				c.SetReadDeadline(time.Now().Add(silent))
				discard(c)
			})
		}
	})
	defer wg.Wait()
	defer l.Close()
	s, port := a.current(), l.Addr().(*net.TCPAddr).AddrPort().Port()
	for i := range forged {
		s.found(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, byte(i)}), port))
	}
	s.found(netip.MustParseAddrPort(b.addr()))
	s.mu.Lock()
	askers := s.askers
	s.mu.Unlock()
	if askers > askersMax {
		t.Errorf("%d at a time", askers)
	}
	a.sees(1)
	eventually(t, "all are asked", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(asked) == forged
	})
}
