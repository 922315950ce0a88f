package ranges_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dtpx/internal/testbed"
	ranges "dtpx/range"
)

// What has ended is listed for long, and its request, with what came along, is not kept
// for that, nor by a context that lives longer.
func TestRequestsAreNotKept(t *testing.T) {
	b := newBed(t, testbed.Config{})
	b.client.Transport.(*ranges.Transport).Base.DisableKeepAlives = true // an idle connection may keep its last request
	b.engine.Never = []string{"localhost"}
	for name, url := range map[string]string{
		"split":  testbed.URL(b.origin.HTTP, "4MiB/split"),
		"small":  testbed.URL(b.origin.HTTP, "64KiB/small"),
		"passed": testbed.URL(strings.Replace(b.origin.HTTP, "127.0.0.1", "localhost", 1), "4MiB/passed"),
	} {
		t.Run(name, func(t *testing.T) {
			gone := make(chan struct{})
			b.carrying(url, gone)
			if name == "small" {
				gather(t, gone)
				return
			}
			d := b.engine.Downloads()[0]
			if d.State != "done" || d.Sent != 4<<20 || len(d.Sources) == 0 {
				t.Errorf("%+v", d)
			}
			gather(t, gone)
		})
	}
}

// gather collects garbage until gone is closed.
func gather(t *testing.T, gone chan struct{}) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		runtime.GC()
		select {
		case <-gone:
			return
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("the request is still kept")
		}
	}
}

// carrying downloads url with a request that has something with it, and closes gone
// when that is collected.
func (b *bed) carrying(url string, gone chan struct{}) {
	b.t.Helper()
	type key struct{}
	it := new([64]byte)
	runtime.AddCleanup(it, func(c chan struct{}) { close(c) }, gone)
	req, err := http.NewRequestWithContext(context.WithValue(b.t.Context(), key{}, it), "GET", url, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	b.verify(url, resp)
}

// How long a reader has waited is told while it waits, and after it has given up.
func TestStallIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ps := group(t, nil, 2*mib, 2*mib)
		url := testbed.URL(m.origin.HTTPS, "64MiB/f")
		resp := m.get(url)
		m.some(resp, 8*mib)
		for _, l := range []*testbed.Link{m.link, ps[0].link} {
			l.Freeze()
			defer l.Thaw()
		}
		go io.Copy(io.Discard, resp.Body)
		time.Sleep(10 * time.Second)
		if d := m.engine.Downloads()[0]; d.State != "running" || d.StallMS < 9000 || d.StallMS > 10000 {
			t.Errorf("after 10 s: %s, waited %d ms", d.State, d.StallMS)
		}
		resp.Body.Close()
		synctest.Wait()
		d := m.engine.Downloads()[0]
		if d.State != "cancelled" || d.StallMS < 9000 || d.StallMS > 10000 {
			t.Errorf("in the end: %s, waited %d ms", d.State, d.StallMS)
		}
		for _, s := range d.Sources {
			if s.Connections != 0 {
				t.Errorf("it has ended, and %s has %d connections", s.Name, s.Connections)
			}
		}
	})
}
