package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTunnelPassesBothWaysAndHalfClose(t *testing.T) {
	play(t, nil, func(c net.Conn) {
		b, err := io.ReadAll(c) // until the member's half-close
		if err != nil {
			t.Error(err)
		}
		_, _ = c.Write(bytes.ToUpper(b))
	}, func(r *rig) {
		m := r.open()
		in := strings.Repeat("hello, ", 1<<18)
		_, _ = io.WriteString(m, in)
		m.closeWrite()
		out, err := io.ReadAll(m)
		if err != nil || string(out) != strings.ToUpper(in) {
			t.Errorf("%d of %d bytes, %v", len(out), len(in), err)
		}
		m.Close()
		if err := <-r.errs; err != nil {
			t.Error(err)
		}
	})
}

func TestBytesRightBehindTheRequestArrive(t *testing.T) {
	got := make(chan string, 1)
	play(t, nil, func(c net.Conn) { b, _ := io.ReadAll(c); got <- string(b) }, func(r *rig) {
		c, _ := r.net.Dial(r.Context(), "tcp", "lender:1")
		_, _ = io.WriteString(c, "CONNECT "+origin+" HTTP/1.1\r\nHost: "+origin+"\r\n\r\nearly")
		closeWrite(c)
		if s := <-got; s != "early" {
			t.Errorf("%q", s)
		}
		_, _ = io.Copy(io.Discard, c)
		c.Close()
	})
}

func TestRefusals(t *testing.T) {
	play(t, func(s *Server) {
		s.Connect = time.Second
		s.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
			switch host {
			case "inside.example":
				return []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("::ffff:127.0.0.1")}, nil
			case "both.example":
				return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::ffff:1.1.1.1")}, nil
			}
			return nil, errors.New("no such host")
		}
	}, give(0), func(r *rig) {
		for row := range strings.Lines(`
			127.0.0.1:443      403 loopback
			[::ffff:7f00:1]:80 403 mapped
			1.1.1.1:25         403 port
			inside.example:80  403 address
			inside.example:25  403 port
			gone.example:443   502 resolve
			2130706433:80      400 syntax
			0x7f000001:80      400 syntax
			1.1.1.2:443        502 dial
			both.example:443   200
		`) {
			f := append(strings.Fields(row), "", "")
			if f[0] == "" {
				continue
			}
			resp, m := r.ask(f[0])
			if resp.Status[:3] != f[1] || resp.Header.Get(ReasonField) != f[2] {
				t.Errorf("%s: %s %s", f[0], resp.Status, resp.Header)
			}
			m.Close()
		}
	})
}

func TestRebindingIsSeenAtTheSocket(t *testing.T) {
	play(t, func(s *Server) {
		dial := s.Dial
		s.Dial = func(ctx context.Context, to netip.AddrPort, check Control) (net.Conn, error) {
			return dial(ctx, netip.MustParseAddrPort("10.0.0.9:443"), func(string, string, syscallConn) error { return nil })
		}
	}, give(1), func(r *rig) {
		r.listen("10.0.0.9:443", func(c net.Conn) { c.Close() })
		if resp, _ := r.ask(origin); resp.StatusCode != 403 {
			t.Errorf("went to 10.0.0.9: %s", resp.Status)
		}
	})
}

func TestQuotaEndsCleanlyAndExactly(t *testing.T) {
	const quota = 5<<20 + 12345
	play(t, nil, give(1<<30), func(r *rig) {
		r.account.quota = quota
		m := r.open()
		n, err := io.Copy(io.Discard, m)
		// the other direction's read may hold its piece
		if err != nil || n > quota || n < quota-bufSize {
			t.Errorf("%d of %d bytes, %v", n, quota, err)
		}
		m.Close()
		if err := <-r.errs; !errors.Is(err, errQuota) {
			t.Error(err)
		}
		r.account.quota = r.account.spent()
		if resp, _ := r.ask(origin); resp.StatusCode != 503 || resp.Header.Get(ReasonField) != "quota" {
			t.Errorf("%s %s", resp.Status, resp.Header)
		}
		r.account.err = errors.New("disk full")
		if resp, _ := r.ask(origin); resp.StatusCode != 503 || resp.Header.Get(ReasonField) != "ledger" {
			t.Errorf("%s %s", resp.Status, resp.Header)
		}
	})
}

// Who lends nothing because the disk is full is told, and not for each request.
func TestFullDiskIsTold(t *testing.T) {
	var log bytes.Buffer
	set := func(s *Server) { s.Log = slog.New(slog.NewTextHandler(&log, nil)) }
	play(t, set, give(1), func(r *rig) {
		r.account.err = errors.New("disk full")
		for range 3 {
			r.ask(origin)
			<-r.errs
		}
		if n := strings.Count(log.String(), "disk full"); n != 1 {
			t.Errorf("said %d times: %s", n, &log)
		}
	})
}

func TestRateIsSharedByAllTunnels(t *testing.T) {
	const each, tunnels, rate = 4 << 20, 3, 1 << 20
	play(t, func(s *Server) { s.Rate = rate }, give(each), func(r *rig) {
		start, done := time.Now(), make(chan struct{})
		for range tunnels {
			m := r.open()
			go func() { count(t, m, each); m.Close(); done <- struct{}{} }()
		}
		for range tunnels {
			<-done
		}
		took, want := time.Since(start).Seconds(), float64(each*tunnels)/rate
		if took < want*0.98 || took > want*1.02 {
			t.Errorf("%.2f s, want %.2f", took, want)
		}
	})
}

// The owner's own traffic bounds all tunnels together, at once, in mid-transfer too.
func TestTheOwnersTrafficBoundsTheRelay(t *testing.T) {
	const each, tunnels, slow = 4 << 20, 3, 1 << 20
	var bound atomic.Uint64
	bound.Store(math.Float64bits(math.Inf(1)))
	set := func(s *Server) { s.Bound = func() float64 { return math.Float64frombits(bound.Load()) } }
	play(t, set, give(each), func(r *rig) {
		open := make([]*member, tunnels)
		for i := range open {
			open[i] = r.open()
			if _, err := io.CopyN(io.Discard, open[i], each/2); err != nil { // no time passes
				t.Fatal(err)
			}
		}
		bound.Store(math.Float64bits(slow))
		start, done := time.Now(), make(chan struct{})
		for _, m := range open {
			go func() { count(t, m, each/2); m.Close(); done <- struct{}{} }()
		}
		time.Sleep(2 * time.Second)
		bound.Store(math.Float64bits(2 * slow))
		for range open {
			<-done
		}
		// What waits between the ends was read before.
		took, want := time.Since(start).Seconds(), 2+(float64(each/2*tunnels)-2*slow)/(2*slow)
		if took < want*0.85 || took > want*1.05 {
			t.Errorf("%.2f s, want %.2f", took, want)
		}
	})
}

func TestATunnelIsHeldNoLongerThanTheOwnerWants(t *testing.T) {
	var bound atomic.Uint64
	bound.Store(math.Float64bits(1))
	set := func(s *Server) { s.Bound = func() float64 { return math.Float64frombits(bound.Load()) } }
	play(t, set, give(1<<20), func(r *rig) {
		m := r.open()
		time.Sleep(5 * time.Second)
		bound.Store(math.Float64bits(math.Inf(1)))
		start := time.Now()
		count(t, m, 1<<20)
		if d := time.Since(start); d > 2*askAgain {
			t.Error(d)
		}
		m.Close()
	})
}

func TestCapsAnswer429(t *testing.T) {
	play(t, func(s *Server) { s.Conns, s.PerMember = 8, 2 }, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, func(r *rig) {
		a, b := r.open(), r.open()
		resp, _ := r.ask(origin)
		if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "1" || resp.Header.Get(ReasonField) != "connections" {
			t.Errorf("%s %s", resp.Status, resp.Header)
		}
		a.Close()
		synctest.Wait()
		a = r.open()
		a.Close()
		b.Close()
	})
}

func TestIdleEndsAndTricklesDoNot(t *testing.T) {
	play(t, func(s *Server) { s.Idle = 10 * time.Second }, func(c net.Conn) {
		for range 5 {
			time.Sleep(9 * time.Second)
			_, _ = c.Write([]byte("."))
		}
		_, _ = c.Read(make([]byte, 1))
	}, func(r *rig) {
		start, m := time.Now(), r.open()
		n, err := io.Copy(io.Discard, m)
		if n != 5 || err == nil || time.Since(start) != 55*time.Second {
			t.Errorf("%d bytes, %v, after %v", n, err, time.Since(start))
		}
		m.Close()
		if err := <-r.errs; !errors.Is(err, errIdle) {
			t.Error(err)
		}
	})
}

func TestAMemberThatDoesNotReadIsIdleToo(t *testing.T) {
	play(t, nil, give(1<<30), func(r *rig) {
		m := r.open()
		if err := <-r.errs; !errors.Is(err, errIdle) {
			t.Error(err)
		}
		m.Close()
	})
}

func TestACutStreamNeverLooksWhole(t *testing.T) {
	play(t, nil, func(c net.Conn) { _, _ = io.CopyN(c, c, 1); abort(c) }, func(r *rig) {
		m := r.open()
		_, _ = m.Write([]byte("x"))
		if _, err := io.Copy(io.Discard, m); err == nil {
			t.Error("a reset became an end")
		}
	})
}

func TestSlowHeadTimesOut(t *testing.T) {
	play(t, nil, give(0), func(r *rig) {
		c, _ := r.net.Dial(r.Context(), "tcp", "lender:1")
		_, _ = io.WriteString(c, "CONNECT ")
		b, _ := io.ReadAll(c)
		if !strings.HasPrefix(string(b), "HTTP/1.1 408 ") {
			t.Errorf("%q", b)
		}
		c.Close()
	})
}

func TestCloseEndsTunnelsAndJoins(t *testing.T) {
	play(t, nil, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, func(r *rig) {
		m := r.open()
		r.Server.Close()
		if r.Stats().Open != 0 {
			t.Error("Close did not wait")
		}
		if err := <-r.errs; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		m.Close()
		c, far := net.Pipe()
		if err := r.ServeConn(r.Context(), c, "anna"); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		far.Close()
	})
}
