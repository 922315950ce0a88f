package ranges_test

import (
	"fmt"
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

// line is a link that everybody shares; whoever opens more connections gets more of it.
var line = testbed.Shape{Delay: 5 * time.Millisecond, Down: 4 << 20, Window: 64 << 10}

// guest is a client whose downloads are read as fast as they come.
type guest struct {
	m    *mem
	name string
	got  atomic.Int64
	wg   sync.WaitGroup
	open []*http.Response
}

func (m *mem) guest(name string) *guest { return &guest{m: m, name: name} }

func (g *guest) starts(n int) *guest {
	for range n {
		url := testbed.URL(g.m.origin.HTTP, fmt.Sprintf("512MiB/%s%d", g.name, len(g.open)))
		resp := g.m.do(g.m.client, as(g.m.request(url), g.name))
		g.open = append(g.open, resp)
		g.wg.Go(func() { io.Copy(count{&g.got}, resp.Body) })
	}
	return g
}

type count struct{ n *atomic.Int64 }

func (c count) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

func (g *guest) leaves() {
	for _, r := range g.open {
		r.Body.Close()
	}
	g.wg.Wait()
}

// during is what each of them gets in d.
func during(d time.Duration, guests ...*guest) (got []float64) {
	for _, g := range guests {
		got = append(got, -float64(g.got.Load()))
	}
	time.Sleep(d)
	for i, g := range guests {
		got[i] += float64(g.got.Load())
	}
	return got
}

// conns are the connections that all downloads of a client have at work.
func (g *guest) conns() (n int) {
	for _, d := range g.m.engine.Downloads() {
		if d.Client != g.name || d.State != "running" {
			continue
		}
		for _, s := range d.Sources {
			n += s.Connections
		}
	}
	return n
}

// A client that runs many downloads does not squeeze out one that runs one.
func TestClientsShareTheLine(t *testing.T) {
	for _, c := range []struct {
		many  int
		least float64 // of the line, for the one
	}{{8, 0.4}, {20, 0.28}} { // in connections 0.5 and 0.44, less what slices that end overlap
		synctest.Test(t, func(t *testing.T) {
			m := newMem(t, testbed.Config{TLSListen: "off"}, line, nil)
			a, b := m.guest("anna").starts(c.many), m.guest("bert")
			time.Sleep(8 * time.Second)
			b.starts(1)
			time.Sleep(3 * time.Second)
			got := during(10*time.Second, a, b)
			if part := got[1] / (got[0] + got[1]); part < c.least || part > 0.6 {
				t.Errorf("%d downloads against one: %.2f of the line for the one; %d and %d connections", c.many, part, a.conns(), b.conns())
			}
			if sum := got[0] + got[1]; sum < 9.3*(4<<20) {
				t.Errorf("%d downloads against one: only %.1f MiB/s in all", c.many, sum/(10<<20))
			}
			b.leaves()
			a.leaves()
		})
	}
}

// Where connections are what is scarce, a client that is alone has all of them,
// and has them again once it is alone.
func TestAloneNothingIsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMem(t, slow, near, &ranges.Engine{MinSize: 64 << 10, Window: 8 << 20})
		a, b := m.guest("anna").starts(4), m.guest("bert")
		time.Sleep(5 * time.Second)
		before := during(5*time.Second, a)[0]
		if want := 0.9 * 4 * 16 * 5 * 256 * 1024; before < want {
			t.Errorf("alone: %.0f bytes, want %.0f", before, want)
		}
		b.starts(1)
		time.Sleep(2 * time.Second)
		if n := a.conns(); n > 16+4 || n < 16 {
			t.Errorf("%d connections beside another client", n)
		}
		b.leaves()
		time.Sleep(3 * time.Second)
		if after := during(5*time.Second, a)[0]; after < 0.95*before {
			t.Errorf("alone again: %.0f bytes of %.0f", after, before)
		}
		a.leaves()
		time.Sleep(time.Minute)
		for range 2 { // http counts from the second observation on
			a.starts(1)
			time.Sleep(3 * time.Second)
			if n := a.conns(); n < 16 {
				t.Errorf("%d connections: others were taken for the host's limit", n)
			}
			a.leaves()
		}
	})
}

// A client that has paused holds nobody up.
func TestPausedClientsDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMem(t, slow, near, &ranges.Engine{MinSize: 64 << 10, Window: 4 << 20})
		paused := m.do(m.client, as(m.request(testbed.URL(m.origin.HTTP, "512MiB/film")), "bert"))
		a := m.guest("anna").starts(4)
		time.Sleep(20 * time.Second)
		if n := a.conns(); n < 40 { // some are between two slices
			t.Errorf("%d connections beside a client that takes nothing", n)
		}
		paused.Body.Close()
		a.leaves()
	})
}

// Who joins a download brings its own part along.
func TestJoinedDownloadHasThePartsOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMem(t, slow, near, &ranges.Engine{MinSize: 64 << 10, Window: 4 << 20})
		a := m.guest("anna").starts(8)
		b := m.guest("bert")
		url := testbed.URL(m.origin.HTTP, "512MiB/popular", "cache=public, max-age=600")
		for _, name := range []string{"anna", "bert"} {
			resp := m.do(m.client, as(m.request(url), name))
			b.open = append(b.open, resp)
			b.wg.Go(func() { io.Copy(count{&b.got}, resp.Body) })
			time.Sleep(3 * time.Second)
		}
		d := m.last()
		if d.Readers != 2 || d.Sources[0].Connections < 14 {
			t.Errorf("%d readers, %d connections", d.Readers, d.Sources[0].Connections)
		}
		b.leaves()
		a.leaves()
	})
}

// One that has filled the memory leaves room for others, and for each its part.
func TestClientsShareTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var held, most atomic.Int64
		const budget = 16 << 20
		e := &ranges.Engine{MinSize: 64 << 10, Window: 8 << 20, Memory: ranges.NewMemory(budget)}
		e.NewStore = func() ranges.Store {
			return &counted{Store: ranges.NewMemStore(256 << 10), held: &held, most: &most}
		}
		m := newMem(t, slow, near, e)
		var open []*http.Response
		for i := range 40 { // none of which is read
			url := testbed.URL(m.origin.HTTP, fmt.Sprintf("64MiB/f%d", i))
			open = append(open, m.do(m.client, as(m.request(url), "anna")))
		}
		time.Sleep(time.Minute)
		b := m.do(m.client, as(m.request(testbed.URL(m.origin.HTTP, "64MiB/b")), "bert"))
		if d := m.last(); d.Reason == "memory is short" {
			t.Error("no room for the first download of a client")
		}
		for _, r := range open[:8] {
			r.Body.Close()
		}
		m.some(b, 4<<20)
		time.Sleep(time.Minute)
		was := held.Load()
		b.Body.Close()
		if n := was - held.Load(); n < 6<<20 {
			t.Errorf("half of the budget is this client's, and it has %d bytes", n)
		}
		if n := most.Load(); n > budget*11/8+24*512<<10 {
			t.Errorf("held %d of a budget of %d", n, budget)
		}
		for _, r := range open[8:] {
			r.Body.Close()
		}
	})
}
