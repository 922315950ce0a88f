package ranges_test

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dtpx/internal/testbed"
	ranges "dtpx/range"
)

// Learnt limits hold: the second download opens no connection that is refused.
func TestLimitIsLearntAndKept(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		synctest.Test(t, func(t *testing.T) {
			cfg := slow
			cfg.TLSListen, cfg.MaxConns, cfg.NoH2 = "", 3, true
			m := newMem(t, cfg, near, nil)
			base := m.origin.HTTP
			if scheme == "https" {
				base = m.origin.HTTPS
			}
			runs := []string{"6MiB/a", "6MiB/b", "6MiB/c"} // http counts from the second observation on
			for i, path := range runs {
				m.origin.ResetConns()
				url := testbed.URL(base, path)
				m.whole(url, m.do(m.newClient(""), m.request(url)))
				conns := m.origin.Conns()
				if last := i == len(runs)-1; last && conns.Refused > 0 || last && conns.MaxOpen < 3 || conns.MaxOpen > 3 {
					t.Errorf("%s, download %d: %+v", scheme, i, conns)
				}
				time.Sleep(5 * time.Minute) // idle connections have gone
			}
		})
	}
}

// A host that ignores ranges is not asked for them after the second time.
func TestNoRangesAfterTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMem(t, slow, near, nil)
		for i, path := range []string{"2MiB/a", "2MiB/b", "2MiB/c"} {
			m.origin.Reset()
			url := testbed.URL(m.origin.HTTP, path, "fault=ignore-range")
			m.whole(url, m.get(url))
			n := len(m.origin.Log().Entries())
			if i < 2 && n < 2 || i == 2 && (n != 1 || m.last().Reason != "this server is known to ignore ranges") {
				t.Errorf("download %d: %d requests, reason %q", i, n, m.last().Reason)
			}
		}
	})
}

func TestHostsFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := slow
		cfg.MaxConns = 3
		m := newMem(t, cfg, near, nil)
		m.engine.Hosts = ranges.NewHosts()
		for _, path := range []string{"4MiB/a", "4MiB/b"} {
			url := testbed.URL(m.origin.HTTP, path)
			m.whole(url, m.do(m.newClient(""), m.request(url)))
		}
		if !m.engine.Hosts.Changed() {
			t.Error("learnt nothing")
		}
		file, err := json.Marshal(m.engine.Hosts)
		if err != nil || m.engine.Hosts.Changed() {
			t.Fatalf("%v, changed %v", err, m.engine.Hosts.Changed())
		}
		again := ranges.NewHosts()
		if err := json.Unmarshal(file, again); err != nil {
			t.Fatal(err)
		}
		second := &ranges.Engine{MinSize: 64 << 10, Hosts: again}
		defer second.Close()
		m.engine = second
		m.origin.ResetConns()
		url := testbed.URL(m.origin.HTTP, "4MiB/c")
		m.whole(url, m.do(m.newClient(""), m.request(url)))
		if c := m.origin.Conns(); c.Refused > 0 {
			t.Errorf("forgotten over a restart: %+v", c)
		}
		again.SetNetwork("elsewhere")
		if again.Facts(url) != (ranges.HostFacts{}) {
			t.Error("what was learnt in one network counts in another")
		}
	})
}

func TestHostsFileDamaged(t *testing.T) {
	for _, c := range []struct {
		file string
		ok   bool
	}{
		{``, false}, {`{"version":1,"key":"AA`, false}, {`[]`, false}, {`{"version":1,"key":5}`, false},
		{`{}`, true}, {`null`, true}, {`{"version":2,"key":"","hosts":null}`, true},
		{`{"version":1,"key":"c2hvcnQ=","hosts":{"x":{"ceiling":-5,"lanes":99999,"count":9}}}`, true},
	} {
		h := ranges.NewHosts()
		if err := json.Unmarshal([]byte(c.file), h); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.file, err)
		}
		if _, err := json.Marshal(h); err != nil { // still usable
			t.Error(err)
		}
		h.Teach("http://x/", func(f *ranges.HostFacts) { f.Ceiling = 3 })
	}
}

func TestHostsAreBounded(t *testing.T) {
	h := ranges.NewHosts()
	for i := range 5000 {
		h.Teach("https://h"+string(rune('a'+i%26))+time.Duration(i).String()+"/", func(f *ranges.HostFacts) { f.Ranges = true })
	}
	file, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var seen struct{ Hosts map[string]any }
	if json.Unmarshal(file, &seen); len(seen.Hosts) != 4096 {
		t.Errorf("%d hosts", len(seen.Hosts))
	}
}

func TestHostsBelieve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := ranges.NewHosts()
		teach := func(u string) { h.Teach(u, func(f *ranges.HostFacts) { f.Ceiling, f.Lanes = 3, 1 }) }
		for _, c := range []struct {
			what string
			do   func()
			url  string
			want int
		}{
			{"http, once", func() { teach("http://a/") }, "http://a/", 0},
			{"http, twice", func() { teach("http://a/") }, "http://a/x?y", 3},
			{"another port", func() {}, "http://a:81/", 0},
			{"https, once", func() { teach("https://a/") }, "https://a/", 3},
			{"after six days", func() { time.Sleep(6 * 24 * time.Hour) }, "https://a/", 3},
			{"after eight", func() { time.Sleep(2 * 24 * time.Hour) }, "https://a/", 0},
		} {
			if c.do(); h.Facts(c.url).Ceiling != c.want {
				t.Errorf("%s: %+v", c.what, h.Facts(c.url))
			}
		}
	})
}

// Many downloads share the budget, and a slow client holds its window only.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var held, most atomic.Int64
		const budget = 8 << 20
		e := &ranges.Engine{MinSize: 64 << 10, Window: 4 << 20, Memory: ranges.NewMemory(budget)}
		e.NewStore = func() ranges.Store {
			return &counted{Store: ranges.NewMemStore(256 << 10), held: &held, most: &most}
		}
		cfg := slow
		cfg.PerConn = 4 << 20
		m := newMem(t, cfg, near, e)
		one := m.get(testbed.URL(m.origin.HTTP, "64MiB/slow"))
		time.Sleep(time.Minute) // a client that does not read
		if n := held.Load(); n > 4<<20+512<<10 || n < 3<<20 {
			t.Errorf("a client that does not read holds %d", n)
		}
		one.Body.Close()
		if n := held.Load(); n != 0 {
			t.Errorf("%d held after it left", n)
		}
		var wg sync.WaitGroup
		short := 0
		for i := range 12 {
			url := testbed.URL(m.origin.HTTP, "6MiB/f", "x-n="+time.Duration(i).String())
			resp := m.get(url)
			wg.Go(func() {
				time.Sleep(10 * time.Second)
				m.whole(url, resp)
			})
			if m.last().Reason == "memory is short" {
				short++
			}
		}
		wg.Wait()
		// The first two are granted 4 MiB each, and a quarter more than the
		// budget has room for two of 1 MiB; blocks at both ends come on top.
		if n := most.Load(); n > budget*5/4+4*512<<10 {
			t.Errorf("held %d of a budget of %d", n, budget)
		}
		if short < 4 || short > 8 { // by how soon the first ones are told to make room
			t.Errorf("%d of 12 found no room of 1 MiB", short)
		}
	})
}

// counted adds up what stores hold.
type counted struct {
	ranges.Store
	have       ranges.Set
	held, most *atomic.Int64
}

func (c *counted) WriteAt(p []byte, off int64) (int, error) {
	c.have.Add(ranges.Range{Start: off, End: off + int64(len(p))})
	n := c.held.Add(int64(len(p)))
	c.most.Store(max(c.most.Load(), n))
	return c.Store.WriteAt(p, off)
}

func (c *counted) Drop(r ranges.Range) {
	c.held.Add(-c.have.SizeWithin(r))
	c.have.Remove(r)
	c.Store.Drop(r)
}

func (c *counted) Close() {
	c.held.Add(-c.have.Size())
	c.have = ranges.Set{}
	c.Store.Close()
}

// A client that seeks about leaves nothing behind for each place it was at.
func TestSeeksLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var held, most atomic.Int64
		e := &ranges.Engine{MinSize: 64 << 10, Window: 2 << 20}
		e.NewStore = func() ranges.Store {
			return &counted{Store: ranges.NewMemStore(256 << 10), held: &held, most: &most}
		}
		cfg := slow
		cfg.PerConn = 4 << 20
		m := newMem(t, cfg, near, e)
		url := testbed.URL(m.origin.HTTP, "64MiB/f", "cache=max-age=600")
		first := m.started(url)
		for i := range 10 {
			resp := m.get(url, "Range", "bytes="+itoa(int64(i+1)*5e6)+"-")
			m.some(resp, 100<<10)
			time.Sleep(5 * time.Second)
			resp.Body.Close()
		}
		if m.last().Readers != 11 {
			t.Errorf("not joined: %+v", m.last())
		}
		if n := held.Load(); n > 4<<20 {
			t.Errorf("%d held for one reader with a window of 2 MiB", n)
		}
		first.Body.Close()
	})
}

func itoa(n int64) string { b, _ := json.Marshal(n); return string(b) }

// The zero Memory is unlimited, as it says.
func TestZeroMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMem(t, slow, near, &ranges.Engine{MinSize: 64 << 10, Memory: &ranges.Memory{}})
		url := testbed.URL(m.origin.HTTP, "2MiB/f")
		m.whole(url, m.get(url))
		if d := m.last(); d.Reason != "" || d.Sources[0].Requests < 2 {
			t.Errorf("%+v", d)
		}
	})
}

// When the client leaves, everything that was begun for it ends.
func TestLeavingEndsEverything(t *testing.T) {
	for _, leave := range []string{"close", "cancel", "engine"} {
		synctest.Test(t, func(t *testing.T) {
			m := newMem(t, slow, near, nil)
			url := testbed.URL(m.origin.HTTP, "64MiB/f")
			req, cancel := withTimeout(m.request(url), time.Hour)
			defer cancel()
			resp := m.do(m.client, req)
			m.some(resp, 1<<20)
			if n := m.origin.Conns().Open; n < 4 {
				t.Errorf("only %d connections", n)
			}
			switch leave {
			case "cancel":
				cancel()
				if _, err := io.Copy(io.Discard, resp.Body); err == nil {
					t.Error("a clean end after cancellation")
				}
				resp.Body.Close()
			case "engine":
				m.engine.Close()
				if _, err := io.Copy(io.Discard, resp.Body); err == nil {
					t.Error("a clean end after Close")
				}
			}
			resp.Body.Close()
			m.client.Transport.(*ranges.Transport).Base.CloseIdleConnections()
			time.Sleep(50 * time.Millisecond) // fake: word of it has come to the origin
			if n := m.origin.Conns().Open; n > 0 {
				t.Errorf("%s: %d connections left", leave, n)
			}
			if s := m.engine.Stats(); s.Active != 0 || s.Downloads["cancelled"] != 1 {
				t.Errorf("%s: %+v", leave, s)
			}
		})
	}
}

var _ http.RoundTripper = (*ranges.Transport)(nil)

// How many connections a host is worth is remembered once a trial has shown it,
// not when a download was broken off in its middle, and for a day.
func TestHostsRememberTrials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := group(t, nil, 2*mib, 2*mib, 2*mib)
		m.engine.Connections = 8
		url := testbed.URL(m.origin.HTTPS, "64MiB/f")
		resp := m.get(url)
		m.some(resp, 2*mib)
		time.Sleep(300 * time.Millisecond) // a second connection is at work
		if n := m.source("").Connections; n < 2 {
			t.Errorf("%d connections of our own: no trial", n)
		}
		resp.Body.Close()
		synctest.Wait()
		if f := m.engine.Hosts.Facts(url); !f.Ranges || f.Lanes != 0 {
			t.Errorf("broken off in a trial: %+v", f)
		}
		m.whole(url, m.get(url))
		synctest.Wait()
		if f := m.engine.Hosts.Facts(url); f.Lanes != 1 {
			t.Errorf("after a trial on a link that one connection fills: %+v", f)
		}
		time.Sleep(25 * time.Hour)
		if f := m.engine.Hosts.Facts(url); !f.Ranges || f.Lanes != 0 {
			t.Errorf("a day later: %+v", f)
		}
	})
}
