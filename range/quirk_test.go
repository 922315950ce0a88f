package ranges_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dtpx/internal/testbed"
	ranges "dtpx/range"
)

// A signed target expires in mid-file: the redirect is asked again with that
// client's fields, and the download goes on from the new target.
func TestExpiredTargetIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMem(t, slow, near, &ranges.Engine{MinSize: 64 << 10, Window: 1 << 20, Connections: 4})
		url := testbed.URL(m.origin.HTTP, "8MiB/f", "redirect=302", "ttl=2s")
		began := time.Now()
		m.whole(url, m.do(m.client, as(m.request(url, "Cookie", "user=anna"), "anna")))
		within(t, "8 MiB at 4 x 256 KiB/s", began, 12*time.Second)
		asked := 0
		for _, e := range m.origin.Log().Entries() {
			if e.Status == 302 {
				asked++
			}
			if e.Header.Get("Cookie") != "user=anna" {
				t.Errorf("%s without the client's cookie", e.URL)
			}
		}
		if asked < 2 {
			t.Errorf("the redirect was asked %d times", asked)
		}
	})
}

// Nobody knows how the client came by its target, or the new one is another
// version: slice 0 goes on if it is still there, or the end is an honest failure.
func TestExpiredTargetWithoutAWayOn(t *testing.T) {
	for _, c := range []struct {
		name   string
		extra  string
		follow bool // the engine sees the redirect
	}{
		{"redirect unknown", "x-a=1", false},
		{"another version", "change=1500ms", true},
		{"redirect unknown, slice 0 breaks", "fault=reset,at=first,after=512KiB", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMem(t, slow, near, &ranges.Engine{MinSize: 64 << 10, Window: 1 << 20, Connections: 4})
			start := testbed.URL(m.origin.HTTP, "3MiB/f", "redirect=302", "ttl=1s", c.extra)
			target := start
			if !c.follow {
				target = located(t, m, start)
			}
			err := readAll(m, start, m.get(target))
			if err != nil && strings.HasPrefix(err.Error(), "content") {
				t.Errorf("%s: %v", c.name, err)
			}
		})
	}
}

// located asks another way where a redirect leads.
func located(t *testing.T, m *mem, from string) string {
	tr := &http.Transport{DialContext: m.net.Dial}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(m.request(from))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	base, _ := url.Parse(from)
	to, err := base.Parse(resp.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	return to.String()
}

func readAll(m *mem, url string, resp *http.Response) error {
	defer resp.Body.Close()
	return m.origin.Content(url).Verify(resp.Body)
}

func TestOneTimeURL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMem(t, slow, near, nil)
		url := testbed.URL(m.origin.HTTP, "2MiB/f", "once=1")
		began := time.Now()
		m.whole(url, m.get(url))
		within(t, "as fast as without us", began, 8500*time.Millisecond)
	})
}

// CDN edges differ in their validators: all slices come from the address that
// slice 0 used, whatever the name resolves to meanwhile.
func TestSlicesStayWithOneEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := slow
		cfg.Listen = "192.0.2.1:80,192.0.2.2:80"
		m := newMem(t, cfg, near, nil)
		n := 0
		base := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == "cdn.test:80" {
				n++
				addr = []string{"192.0.2.1:80", "192.0.2.2:80"}[n%2]
			}
			return m.net.Dial(ctx, network, addr)
		}}
		defer base.CloseIdleConnections()
		client := &http.Client{Transport: &ranges.Transport{Base: base, Engine: m.engine}}
		for range 2 {
			m.origin.Reset()
			url := testbed.URL("http://cdn.test", "4MiB/f", "etag=edge")
			m.whole(url, m.do(client, m.request(url)))
			base.CloseIdleConnections()
			edges := map[string]int{}
			for _, e := range m.origin.Log().Entries() {
				edges[e.Local]++
			}
			if len(edges) != 1 || m.origin.Log().Stats("").Requests < 4 {
				t.Errorf("edges asked: %v", edges)
			}
		}
	})
}

// Whoever says when to come back sees no new connection before; those that are
// served go on, or one refusal would stall the client.
func TestRetryAfterIsHeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMem(t, slow, near, nil)
		url := testbed.URL(m.origin.HTTP, "4MiB/f", "fault=429,retry=3s,times=1,req=4")
		m.whole(url, m.get(url))
		var refused time.Time
		for _, e := range m.origin.Log().Entries() {
			if e.Status == 429 {
				refused = e.Time
			} else if !refused.IsZero() && e.OnConn == 1 && e.Time.After(refused.Add(30*time.Millisecond)) && e.Time.Before(refused.Add(3*time.Second)) {
				t.Errorf("a new connection %v later", e.Time.Sub(refused))
			}
		}
		if refused.IsZero() {
			t.Error("nothing was refused")
		}
	})
}

// TestReasons: what is not accelerated passes through as it is, and says why.
func TestReasons(t *testing.T) {
	for _, c := range []struct {
		option string
		field  string
		reason string // "" = accelerated, or alone for want of time
		status int
	}{
		{"x-a=1", "", "", 200},
		{"x-a=1", "bytes=100000-", "", 206},
		{"x-a=1", "bytes=0-99999,200000-", "status 206", 206},
		{"etag=weak", "", "", 200}, // Last-Modified serves
		{"etag=none", "", "", 200},
		{"etag=none;age=30s", "", "no strong validator", 200}, // too young: it may change twice in its second
		{"etag=weak;age=none", "", "no strong validator", 200},
		{"etag=none;date=none", "", "no strong validator", 200},
		{"ranges=none", "", "serves no ranges", 200},
		{"chunked=1", "", "unknown length", 200},
		{"ranges=silent", "", "", 200},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMem(t, slow, near, nil)
			url := m.origin.HTTP + "/1MiB/" + c.option + "/f"
			resp := m.get(url)
			if c.field != "" {
				resp.Body.Close()
				resp = m.get(url, "Range", c.field)
			}
			if resp.StatusCode != c.status {
				t.Errorf("%s %s: %s", c.option, c.field, resp.Status)
			}
			switch c.field {
			case "":
				m.whole(url, resp)
			case "bytes=100000-":
				m.part(url, resp, 100000, 1<<20-100000)
			default:
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			d := m.last()
			if (d.Reason == "") != (c.reason == "") || !strings.Contains(d.Reason, c.reason) {
				t.Errorf("%s %s: reason %q, want %q", c.option, c.field, d.Reason, c.reason)
			}
			if c.reason == "" && d.Sources[0].Requests < 2 {
				t.Errorf("%s %s: not split", c.option, c.field)
			}
		})
	}
}

// TestWeakTagsThatDiffer: the same date does not join what weak tags keep apart.
func TestWeakTagsThatDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMem(t, slow, near, nil)
		url := m.origin.HTTP + "/1MiB/etag=weak-request/f"
		m.whole(url, m.get(url))
		all := m.origin.Log().Entries()
		if len(all) < 2 {
			t.Fatal("nothing was asked for again")
		}
		for _, e := range all {
			if e.Range == "" && e.Written != 1<<20 {
				t.Errorf("%d bytes are of the first answer", e.Written)
			}
		}
	})
}

// What is no plain large GET passes through: one request, nothing listed.
func TestPassesThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMem(t, slow, near, nil)
		url := testbed.URL(m.origin.HTTP, "1MiB/f")
		first := m.get(url)
		first.Body.Close()
		tag := first.Header.Get("Etag")
		for _, c := range []struct {
			method, field, value string
			status               int
		}{
			{"HEAD", "", "", 200},
			{"POST", "Content-Type", "text/plain", 405},
			{"GET", "If-None-Match", tag, 304},
			{"GET", "Range", "bytes=9999999-", 416},
			{"GET", "Upgrade", "websocket", 200},
			{"GET", "Range", "bytes=0-99", 206}, // small
		} {
			m.origin.Reset()
			listed := len(m.engine.Downloads())
			req := m.request(url, "X-A", "b")
			req.Method = c.method
			if c.field != "" {
				req.Header.Set(c.field, c.value)
			}
			resp := m.do(m.client, req)
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if n := len(m.origin.Log().Entries()); resp.StatusCode != c.status || n != 1 || len(m.engine.Downloads()) != listed {
				t.Errorf("%s %s: %s, %d requests", c.method, c.field, resp.Status, n)
			}
		}
	})
}
