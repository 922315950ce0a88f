package ranges_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dtpx/internal/testbed"
	ranges "dtpx/range"
)

const mib = 1 << 20

// peer is a blind relay on the network in memory: a machine with an address
// and a link of its own.
type peer struct {
	name  string
	link  *testbed.Link
	src   ranges.Source
	dials atomic.Int32
	fail  atomic.Pointer[error] // what dialling returns
	most  int32                 // dials that are answered; 0: all
}

func (p *peer) refuse(err error) { p.fail.Store(&err) }
func (p *peer) accept()          { p.fail.Store(nil) }

// newPeers makes peers at 10.0.1.1 and so on, with links of that many bytes/s.
func newPeers(m *mem, delay time.Duration, rates ...int64) (ps []*peer) {
	base := m.client.Transport.(*ranges.Transport).Base
	for i, r := range rates {
		ip := fmt.Sprintf("10.0.1.%d", i+1)
		p := &peer{name: fmt.Sprint("peer ", i+1), link: m.net.Link(ip, "").Set(testbed.Shape{Delay: delay, Down: r})}
		dial := m.net.From(ip)
		p.src = ranges.NewDialer(base, ranges.KindPeer, p.name, func(ctx context.Context, t ranges.Target) (net.Conn, error) {
			if n := p.dials.Add(1); p.most > 0 && n > p.most {
				return nil, &ranges.Unavailable{After: time.Second, OneTooMany: true, Reason: "reserved"}
			}
			if err := p.fail.Load(); err != nil {
				return nil, fmt.Errorf("reach member: %w", *err)
			}
			addr := t.URL.Host
			if t.Edge.IsValid() {
				addr = t.Edge.String()
			} else if t.URL.Port() == "" {
				addr = net.JoinHostPort(addr, map[string]string{"http": "80", "https": "443"}[t.URL.Scheme])
			}
			return dial(ctx, "tcp", addr)
		})
		ps = append(ps, p)
	}
	return ps
}

func sourcesOf(ps []*peer) func(ranges.Target) []ranges.Source {
	return func(ranges.Target) (out []ranges.Source) {
		for _, p := range ps {
			out = append(out, p.src)
		}
		return out
	}
}

// group is an https origin, a requester with a link of rates[0] bytes/s, and
// peers with links of the rest.
func group(t *testing.T, files http.Handler, rates ...int64) (*mem, []*peer) {
	t.Helper()
	return groupAt(t, 5*time.Millisecond, files, rates...)
}

// groupAt is the same with links of a delay, one way.
func groupAt(t *testing.T, delay time.Duration, files http.Handler, rates ...int64) (*mem, []*peer) {
	t.Helper()
	m := newMem(t, testbed.Config{Files: files, TLS: func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} }},
		testbed.Shape{Delay: delay, Down: rates[0]}, &ranges.Engine{MinSize: 64 << 10, Connections: 1})
	ps := newPeers(m, delay, rates[1:]...)
	m.engine.Sources = sourcesOf(ps)
	return m, ps
}

func (m *mem) source(name string) ranges.SourceInfo {
	m.t.Helper()
	for _, s := range m.last().Sources {
		if s.Name == name {
			return s
		}
	}
	m.t.Fatalf("no source %q in %+v", name, m.last().Sources)
	return ranges.SourceInfo{}
}

// Four links bring nearly four times as much as one, over paths that peers open.
func TestPeersAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ps := group(t, nil, 2*mib, 2*mib, 2*mib, 2*mib)
		url := testbed.URL(m.origin.HTTPS, "64MiB/f")
		began := time.Now()
		m.whole(url, m.get(url))
		within(t, "64 MiB over 4 links of 2 MiB/s", began, 8400*time.Millisecond)
		for _, p := range ps {
			if s := m.source(p.name); s.Kind != ranges.KindPeer || s.Bytes < 14*mib || p.dials.Load() > 2 {
				t.Errorf("%+v, %d dials", s, p.dials.Load())
			}
		}
	})
}

// What nobody waits for spends nobody's quota but our own, until somebody does.
func TestPeersAreNotForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ps := group(t, nil, 2*mib, 2*mib)
		url := testbed.URL(m.origin.HTTPS, "64MiB/f", "cache=public, max-age=600")
		req := m.request(url)
		idle := m.do(m.client, req.WithContext(ranges.WithClient(req.Context(), ranges.Client{Name: "cache", Background: true})))
		m.some(idle, 8*mib)
		if n := ps[0].dials.Load(); n > 0 {
			t.Errorf("%d dials", n)
		}
		resp := m.get(url)
		idle.Body.Close()
		m.whole(url, resp)
		if s := m.source("peer 1"); s.Bytes < 16*mib {
			t.Errorf("once somebody waits: %+v", s)
		}
	})
}

// A peer that cannot be asked keeps away for as long as it says, or for good,
// and that counts against nobody else, nor against the host.
func TestUnavailable(t *testing.T) {
	for _, c := range []struct {
		err   error
		state string
		dials int32 // at most, in 16 s
	}{
		{ranges.Unavailable{After: -1, Reason: "no quota left"}, "out", 1},
		{&ranges.Unavailable{After: 6 * time.Second, Reason: "no quota left"}, "benched", 3},
		{ranges.Unavailable{Reason: "no quota left"}, "benched", 9},
		{errors.New("no quota left"), "benched", 9},
		{&net.OpError{Op: "dial", Err: errors.New("no quota left")}, "benched", 9},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, ps := group(t, nil, 2*mib, 2*mib, 2*mib)
			m.engine.Connections = 4
			ps[0].refuse(c.err)
			url := testbed.URL(m.origin.HTTPS, "64MiB/f")
			resp := m.get(url)
			m.some(resp, 60*mib)
			if s := m.source("peer 1"); s.State != c.state || !strings.Contains(s.Error, "no quota left") || ps[0].dials.Load() > c.dials {
				t.Errorf("%v: %+v after %d dials", c.err, s, ps[0].dials.Load())
			}
			if s := m.source("peer 2"); s.Bytes < 24*mib || s.Refused > 0 || s.Error != "" {
				t.Errorf("%v: the other peer: %+v", c.err, s)
			}
			resp.Body.Close()
			if f := m.engine.Hosts.Facts(url); f.Ceiling != 0 || m.source("").Refused > 0 {
				t.Errorf("%v: the host is believed to refuse: %+v", c.err, f)
			}
		})
	}
}

// Where a peer bears one connection and no other, that one goes on, and it counts
// against nobody else, nor against the host.
func TestOneTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ps := group(t, nil, 2*mib, 2*mib, 2*mib)
		m.engine.Connections = 4
		ps[0].most = 1
		url := testbed.URL(m.origin.HTTPS, "64MiB/f")
		began := time.Now()
		m.whole(url, m.get(url))
		within(t, "64 MiB over 3 links of 2 MiB/s", began, 11500*time.Millisecond)
		if s := m.source("peer 1"); s.Bytes < 18*mib || ps[0].dials.Load() < 2 {
			t.Errorf("%+v after %d dials", s, ps[0].dials.Load())
		}
		if f := m.engine.Hosts.Facts(url); f.Ceiling != 0 || m.source("").Refused > 0 || m.source("peer 2").Refused > 0 {
			t.Errorf("others are believed to refuse: %+v", f)
		}
	})
}

// A member found in mid-download joins it, and one that has come back is used again.
func TestLateAndReturningPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ps := group(t, nil, 1*mib, 1*mib, 1*mib)
		ps[0].refuse(errors.New("starting"))
		began := time.Now()
		m.engine.Sources = func(ranges.Target) []ranges.Source {
			if time.Since(began) < 4*time.Second {
				return []ranges.Source{ps[0].src}
			}
			return []ranges.Source{ps[0].src, ps[1].src}
		}
		time.AfterFunc(8*time.Second, ps[0].accept)
		url := testbed.URL(m.origin.HTTPS, "48MiB/f")
		m.whole(url, m.get(url))
		// 8 MiB alone or with peer 2 from about 5 s on; the rest by three.
		within(t, "48 MiB", began, 23*time.Second)
		for i, least := range []int64{8, 12} {
			if s := m.source(ps[i].name); s.Bytes < least*mib {
				t.Errorf("%+v", s)
			}
		}
	})
}

// Budgets bound what a source brings; they are asked for again when a source
// is lost; and what nobody may bring comes over the own line, with a word.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ps := group(t, nil, 1*mib, 4*mib, 4*mib)
		var needs []int64
		m.engine.Budget = func(_ ranges.Target, need int64, srcs []ranges.Source) []int64 {
			if len(srcs) != 3 || srcs[0].Kind() != ranges.KindDirect || srcs[2] != ps[1].src {
				t.Errorf("sources %v", srcs)
			}
			if needs = append(needs, need); len(needs) > 1 {
				return []int64{-1, 0, 2 * mib}
			}
			return []int64{-1, 8 * mib, 8 * mib}
		}
		url := testbed.URL(m.origin.HTTPS, "32MiB/f")
		resp := m.get(url)
		m.some(resp, 4*mib)
		ps[0].refuse(ranges.Unavailable{After: -1, Reason: "gone"})
		ps[0].link.Cut()
		m.rest(url, resp, 4*mib)
		first, second := m.source("peer 1").Bytes, m.source("peer 2").Bytes
		if len(needs) != 2 && len(needs) != 3 || needs[0] < 31*mib || first > 6*mib || second > 8*mib {
			t.Errorf("needs %v, brought %d and %d", needs, first, second)
		}
		if n := m.last().Note; !strings.Contains(n, "quotas are used up") {
			t.Errorf("note %q", n)
		}
	})
}

// rest reads and compares the rest of the body from off on.
func (m *mem) rest(url string, resp *http.Response, off int64) {
	m.t.Helper()
	m.part(url, resp, off, m.origin.Content(url).Size-off)
}

// Where the budgets together are just what is needed, each source brings its
// part to within 5 %.
func TestFairBudget(t *testing.T) {
	for _, parts := range [][]int64{{8, 8, 8, 8}, {2, 4, 8, 18}, {18, 8, 4, 2}, {4, 12, 8, 8}} {
		synctest.Test(t, func(t *testing.T) {
			m, _ := group(t, nil, 2*mib, 4*mib, 1*mib, 2*mib)
			m.engine.Budget = func(_ ranges.Target, need int64, srcs []ranges.Source) []int64 {
				left, sum := make([]int64, len(parts)), int64(0)
				for i, p := range parts {
					left[i] = p * mib
					if all := m.engine.Downloads(); len(all) > 0 {
						left[i] = max(0, left[i]-all[0].Sources[i].Bytes)
					}
					sum += left[i]
				}
				for i := range left {
					left[i] = left[i] * (need >> 10) / (sum >> 10)
				}
				return left
			}
			url := testbed.URL(m.origin.HTTPS, "32MiB/f")
			m.whole(url, m.get(url))
			var got []int64
			for i, s := range m.last().Sources {
				got = append(got, s.Bytes)
				if d := s.Bytes - parts[i]*mib; d > max(parts[i]*mib/20, mib/2) || -d > max(parts[i]*mib/20, mib/2) {
					t.Errorf("parts %v MiB: brought %v", parts, got)
				}
			}
			if m.last().Note != "" {
				t.Errorf("parts %v: %s", parts, m.last().Note)
			}
		})
	}
}
