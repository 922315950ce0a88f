package traffic_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"dtpx/internal/traffic"
)

// A dial that lasts says that the line is full; one to what is not behind it says nothing.
func TestLongDials(t *testing.T) {
	for to, counts := range map[string]bool{"1.1.1.1:443": true, "127.0.0.1:443": false, "example.com:443": true} {
		synctest.Test(t, func(t *testing.T) {
			m := traffic.Meter{Counts: func(a netip.Addr) bool { return !a.IsLoopback() }}
			answers := make(chan struct{})
			dial := m.Watch(func(context.Context, string, string) (net.Conn, error) {
				<-answers
				return nil, context.Canceled
			})
			go dial(t.Context(), "tcp", to)
			time.Sleep(200 * time.Millisecond)
			go dial(t.Context(), "tcp", to)
			synctest.Wait()
			expectWait(t, &m, to+" after 0.2 s", false)
			time.Sleep(100 * time.Millisecond)
			expectWait(t, &m, to+" after 0.3 s", counts)
			answers <- struct{}{}
			answers <- struct{}{}
			synctest.Wait()
			expectWait(t, &m, to+" when it is there", false)
		})
	}
}

func expectWait(t *testing.T, m *traffic.Meter, what string, want bool) {
	t.Helper()
	if got := m.Waits(time.Now()); got != want {
		t.Errorf("%s: waits %v, want %v", what, got, want)
	}
}
