package testbed

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// memOrigin is an origin and a client over a link, for use in a bubble.
func memOrigin(t *testing.T, cfg Config, s Shape) (*Origin, *Link, *http.Client) {
	n := NewMemNet()
	link := n.Link("", "").Set(s)
	cfg.Listen, cfg.TLSListen, cfg.ListenFunc = "origin.test:80", "origin.test:443", n.Listen
	o, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DialContext: n.Dial, DisableCompression: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: o.CA.Pool()}}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		o.Close()
	})
	return o, link, &http.Client{Transport: tr}
}

func fetch(t *testing.T, c *http.Client, u string) (n int64, first, took time.Duration, err error) {
	begin := time.Now()
	resp, err := c.Get(u)
	if err != nil {
		return 0, 0, 0, err
	}
	defer resp.Body.Close()
	first = time.Since(begin)
	n, err = io.Copy(io.Discard, resp.Body)
	return n, first, time.Since(begin), err
}

func between(t *testing.T, what string, got, low, high time.Duration) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s: %v, want %v to %v", what, got, low, high)
	}
}

func TestMemNetCarriesContentInFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _, c := memOrigin(t, Config{}, Shape{Delay: 50 * time.Millisecond, Down: 1 << 20, Window: 1 << 20})
		for _, base := range []string{o.HTTP, o.HTTPS} {
			u := URL(base, "4MiB/f")
			begin := time.Now()
			resp, err := c.Get(u)
			if err != nil {
				t.Fatal(err)
			}
			if err := o.Content(u).Verify(resp.Body); err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			between(t, base, time.Since(begin), 4150*time.Millisecond, 4450*time.Millisecond)
		}
	})
}

func TestMemNetDelayAndConnectionThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, link, c := memOrigin(t, Config{Limits: Limits{PerConn: 1 << 20}}, Shape{Delay: 20 * time.Millisecond})
		_, first, took, err := fetch(t, c, URL(o.HTTP, "1MiB/f"))
		if err != nil {
			t.Fatal(err)
		}
		between(t, "first byte: dial and request", first, 80*time.Millisecond, 85*time.Millisecond)
		between(t, "1 MiB at 1 MiB/s", took, 1060*time.Millisecond, 1090*time.Millisecond)
		o.SetLimits(Limits{PerConn: 4 << 20})
		_, _, took, _ = fetch(t, c, URL(o.HTTP, "1MiB/f"))
		between(t, "1 MiB at 4 MiB/s", took, 270*time.Millisecond, 300*time.Millisecond)
		if _, down := link.Carried(); down < 2<<20 || down > 2<<20+2000 {
			t.Errorf("carried %d", down)
		}
		st := o.Log().Stats("")
		if st.Total != 2<<20 || st.Unique != 1<<20 || st.Conns != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestMemNetLinkIsSharedInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _, c := memOrigin(t, Config{}, Shape{Down: 4 << 20})
		took := make(chan time.Duration)
		for range 4 {
			go func() {
				_, _, d, err := fetch(t, c, URL(o.HTTP, "1MiB/f"))
				if err != nil {
					t.Error(err)
				}
				took <- d
			}()
		}
		for range 4 {
			between(t, "a quarter each", <-took, 850*time.Millisecond, 1010*time.Millisecond)
		}
	})
}

func TestMemNetPauseCutAndLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, link, c := memOrigin(t, Config{}, Shape{Down: 1 << 20})
		time.AfterFunc(500*time.Millisecond, func() { link.Pause(2 * time.Second) })
		n, _, took, err := fetch(t, c, URL(o.HTTP, "1MiB/f"))
		if n != 1<<20 || err != nil {
			t.Error(n, err)
		}
		between(t, "with a pause of 2 s", took, 2950*time.Millisecond, 3020*time.Millisecond)

		time.AfterFunc(500*time.Millisecond, link.Cut)
		if n, _, _, err := fetch(t, c, URL(o.HTTP, "1MiB/f")); !errors.Is(err, syscall.ECONNRESET) || n < 400<<10 || n > 600<<10 {
			t.Error(n, err)
		}
		if _, _, _, err := fetch(t, c, URL(o.HTTP, "1MiB/f")); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
		link.Heal()
		link.Set(Shape{Down: 1 << 20, Loss: 0.02})
		n, _, took, err = fetch(t, c, URL(o.HTTP, "8MiB/f"))
		if n != 8<<20 || err != nil {
			t.Error(n, err)
		}
		between(t, "8 MiB with losses", took, 8200*time.Millisecond, 14*time.Second)
	})
}

// A close stops the origin a round trip later: what was on its way is wasted.
func TestMemNetCloseCostsARoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _, c := memOrigin(t, Config{}, Shape{Down: 1 << 20, Delay: 100 * time.Millisecond, Window: 4 << 20})
		resp, err := c.Get(URL(o.HTTP, "10MiB/f"))
		if err != nil {
			t.Fatal(err)
		}
		io.CopyN(io.Discard, resp.Body, 512<<10)
		resp.Body.Close()
		time.Sleep(time.Second) // fake: everything has happened by then
		e := o.Log().Entries()[0]
		if waste := e.Acked - 512<<10; !e.Aborted || waste < 180<<10 || waste > 300<<10 {
			t.Errorf("acked %d, aborted %v", e.Acked, e.Aborted)
		}
	})
}

func TestMemConnDeadlinesAndErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewMemNet()
		l, err := n.Listen("tcp", "a:1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Listen("tcp", "a:1"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Error(err)
		}
		a, err := n.From("10.9.9.9")(t.Context(), "tcp", "a:1")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := l.Accept()
		if h, _, _ := net.SplitHostPort(b.RemoteAddr().String()); h != "10.9.9.9" {
			t.Error(b.RemoteAddr())
		}
		a.SetDeadline(time.Now().Add(time.Second))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		if n, err := a.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) || n != 0 {
			t.Error(n, err)
		}
		a.SetDeadline(time.Time{})
		b.Close()
		if _, err := a.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
		if _, err := a.Write(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		l.Close()
		n.Link("", "").Freeze()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := n.Dial(ctx, "tcp", "a:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
