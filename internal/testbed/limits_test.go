package testbed

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestSharedThrottles(t *testing.T) {
	for _, x := range []struct {
		name   string
		limits Limits
		want   time.Duration // for two clients with two downloads of 1 MiB each
	}{
		{"per connection", Limits{PerConn: 1 << 20}, time.Second},
		{"per address", Limits{PerIP: 1 << 20}, 2 * time.Second},
		{"total", Limits{Total: 1 << 20}, 4 * time.Second},
		{"the tightest counts", Limits{PerConn: 1 << 19, PerIP: 1 << 20, Total: 8 << 20}, 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := NewMemNet()
			o, err := New(Config{Listen: "o.test:80", TLSListen: "off", ListenFunc: n.Listen, Limits: x.limits})
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			begin, done := time.Now(), make(chan error)
			for _, ip := range []string{"10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2"} {
				tr := &http.Transport{DialContext: n.From(ip)}
				defer tr.CloseIdleConnections()
				go func() {
					_, _, _, err := fetch(t, &http.Client{Transport: tr}, URL(o.HTTP, "1MiB/f"))
					done <- err
				}()
			}
			for range 4 {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			between(t, x.name, time.Since(begin), x.want*97/100, x.want*103/100)
		})
	}
}

func TestTimeChangesThings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _, c := memOrigin(t, Config{}, Shape{})
		body := func(u string) (status int, tag, b string) {
			c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			resp, err := c.Get(u)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			all, _ := io.ReadAll(resp.Body)
			return resp.StatusCode, resp.Header.Get("ETag") + resp.Header.Get("Location"), string(all)
		}
		u := URL(o.HTTP, "100/f", "change=5s")
		_, tag1, b1 := body(u)
		_, tag2, b2 := body(u)
		time.Sleep(5 * time.Second) // fake
		_, tag3, b3 := body(u)
		if tag1 != tag2 || b1 != b2 || tag1 == tag3 || b1 == b3 {
			t.Errorf("%q %q %q", tag1, tag2, tag3)
		}
		_, to, _ := body(URL(o.HTTP, "100/f", "redirect=307", "ttl=5s"))
		if status, _, _ := body(o.HTTP + to); status != 200 {
			t.Error(status)
		}
		time.Sleep(5 * time.Second) // fake
		if status, _, _ := body(o.HTTP + to); status != 403 {
			t.Error(status)
		}
	})
}

func TestRequestLimitAndHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _, c := memOrigin(t, Config{Limits: Limits{MaxRequests: 1, OverReqs: Answer429, RetryAfter: 1500 * time.Millisecond}}, Shape{})
		first, err := c.Get(URL(o.HTTP, "10MiB/f"))
		if err != nil {
			t.Fatal(err)
		}
		second, err := c.Get(URL(o.HTTP, "10MiB/f"))
		if err != nil || second.StatusCode != 429 || second.Header.Get("Retry-After") != "2" {
			t.Error(err, second)
		}
		second.Body.Close()
		first.Body.Close()

		o.SetLimits(Limits{MaxConns: 1, OverConns: Hang})
		third, err := c.Get(URL(o.HTTP, "10MiB/f"))
		if err != nil {
			t.Fatal(err)
		}
		defer third.Body.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r, _ := http.NewRequestWithContext(ctx, "GET", URL(o.HTTP, "10/f"), nil)
		if _, err := c.Do(r); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if s := o.Conns(); s.Refused == 0 {
			t.Errorf("%+v", s)
		}
	})
}
