package ranges_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dtpx/internal/testbed"
	ranges "dtpx/range"
)

// A member behind our own router is parked and says so; one with a link of its
// own stays.
func TestSharedUplinkIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ps := group(t, nil, 2*mib, 2*mib)
		base := m.client.Transport.(*ranges.Transport).Base
		near := ranges.NewDialer(base, ranges.KindPeer, "near", func(ctx context.Context, t ranges.Target) (net.Conn, error) {
			return m.net.Dial(ctx, "tcp", t.URL.Host)
		})
		m.engine.Sources = func(ranges.Target) []ranges.Source { return []ranges.Source{near, ps[0].src} }
		url := testbed.URL(m.origin.HTTPS, "64MiB/f")
		began := time.Now()
		resp := m.get(url)
		m.some(resp, 48*mib)
		if s := m.source("near"); s.State != "parked" || !strings.Contains(s.Error, "uplink") {
			t.Errorf("behind our router: %+v", s)
		}
		if s := m.source("peer 1"); s.State != "active" || s.Bytes < 20*mib {
			t.Errorf("with a link of its own: %+v", s)
		}
		m.rest(url, resp, 48*mib)
		within(t, "64 MiB over two links of 2 MiB/s", began, 16800*time.Millisecond)
	})
}

// quotaConn ends cleanly in mid-body once its peer's quota is used up.
type quotaConn struct {
	net.Conn
	left *atomic.Int64
}

func (c quotaConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.left.Add(-int64(n)) < 0 {
		c.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}

// A quota that ends in mid-slice, a member killed, and one gone silent cost
// little time and no noticeable wait.
func TestPeerFailsInTheMiddle(t *testing.T) {
	for _, what := range []string{"quota", "killed", "silent"} {
		synctest.Test(t, func(t *testing.T) {
			m, ps := group(t, nil, 2*mib, 2*mib, 2*mib, 2*mib)
			switch what {
			case "quota":
				base := m.client.Transport.(*ranges.Transport).Base
				var left atomic.Int64
				left.Store(15 * mib)
				limited := ranges.NewDialer(base, ranges.KindPeer, "limited", func(ctx context.Context, t ranges.Target) (net.Conn, error) {
					if left.Load() < 0 {
						return nil, ranges.Unavailable{After: -1, Reason: "quota used up"}
					}
					c, err := m.net.From("10.0.1.1")(ctx, "tcp", t.URL.Host)
					return quotaConn{c, &left}, err
				})
				m.engine.Sources = func(ranges.Target) []ranges.Source {
					return []ranges.Source{limited, ps[1].src, ps[2].src}
				}
			case "killed":
				time.AfterFunc(8*time.Second, ps[0].link.Cut)
			case "silent":
				time.AfterFunc(8*time.Second, ps[0].link.Freeze)
			}
			url := testbed.URL(m.origin.HTTPS, "128MiB/f")
			began := time.Now()
			m.whole(url, m.get(url))
			// 64 MiB in 8 s by four, the rest by three: 18.7 s, and 1 % for TLS and HTTP.
			within(t, what, began, 19400*time.Millisecond)
			if d := m.last(); d.StallMS > 600 || d.Duplicate > 128*mib*15/1000 {
				t.Errorf("%s: waited %d ms, %d bytes twice", what, d.StallMS, d.Duplicate)
			} else {
				t.Logf("%s: %v, waited %d ms, %d bytes twice", what, time.Since(began), d.StallMS, d.Duplicate)
			}
			ps[0].link.Thaw()
		})
	}
}
