package cache

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"dtpx/cache/internal/disk"
	"dtpx/internal/testbed"
	ranges "dtpx/range"
)

// film is a cache with its engine before an origin that gives 1 MiB/s on each
// connection, 16 of which may be open. It must be made in a synctest bubble.
type film struct {
	t      *testing.T
	origin *testbed.Origin
	way    *Transport
}

func newFilm(t *testing.T, dir string) *film {
	net := testbed.NewMemNet()
	net.Link("", "").Set(testbed.Shape{Delay: 5 * time.Millisecond})
	origin, err := testbed.New(testbed.Config{Listen: "192.0.2.1:80", TLSListen: "off", ListenFunc: net.Listen, Limits: testbed.Limits{PerConn: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	// The disk is real and the time is not: it must not be late for that.
	store, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler), store: disk.Options{Memory: 256 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	engine := &ranges.Engine{}
	base := &http.Transport{DialContext: net.Dial, DisableCompression: true}
	t.Cleanup(func() {
		engine.Close()
		base.CloseIdleConnections()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		origin.Close()
	})
	return &film{t, origin, &Transport{Cache: store, Next: &ranges.Transport{Base: base, Engine: engine}}}
}

func (f *film) url() string { return f.origin.HTTP + "/256MiB/film.mp4" }

// open asks for the film from a byte on.
func (f *film) open(from int64) io.ReadCloser {
	f.t.Helper()
	req, _ := http.NewRequestWithContext(f.t.Context(), "GET", f.url(), nil)
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	resp, err := f.way.RoundTrip(req)
	if err != nil {
		f.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusPartialContent {
		f.t.Fatal(resp.Status)
	}
	return resp.Body
}

// play shows n bytes at a rate per second, and returns how long it stood still
// after the first second.
func (f *film) play(from, n int64, rate float64) (stood time.Duration) {
	f.t.Helper()
	body := f.open(from)
	defer body.Close()
	began := time.Now().Add(time.Second)
	buf, want := make([]byte, 64<<10), make([]byte, 64<<10)
	for got := int64(0); got < n; got += int64(len(buf)) {
		if _, err := io.ReadFull(body, buf); err != nil {
			f.t.Fatal(err)
		}
		if f.origin.Content(f.url()).Fill(want, from+got); !bytes.Equal(buf, want) {
			f.t.Fatalf("wrong bytes at %d", from+got)
		}
		due := began.Add(time.Duration(float64(got) / rate * 1e9))
		time.Sleep(time.Until(due))
		if late := time.Since(due); late > 0 {
			stood += late
			began = began.Add(late)
		}
	}
	return stood
}

// TestHoles: a film that was jumped about in has holes wherever downloads were
// broken off. They are fetched before the player comes to them, and what is held
// is not fetched again.
func TestHoles(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := newFilm(t, dir)
		const rate = 11 << 20 // of 16
		for i, at := range []int64{0, 128 << 20, 20e6, 30e6, 100e6} {
			n := int64(32 << 20)
			if i > 1 {
				n = 64 << 20
			}
			if stood := f.play(at, n, rate); stood > 0 {
				t.Errorf("from %d on the film stood still for %v", at, stood)
			}
		}
		s := f.origin.Log().Stats("")
		t.Logf("%d MiB came, %d KiB of them twice", s.Total>>20, s.Duplicate>>10)
		// Each of five break-offs may lose the begun block of 16 connections, of
		// 256 KiB; what was held, fetched again, would be 100 MiB.
		if s.Duplicate > 5*16*256<<10 {
			t.Errorf("%d bytes came twice", s.Duplicate)
		}
	})
}

// TestSeek: who jumps ahead in a film that is being fetched, by himself or by
// somebody else, does not wait for that to come there, nor for a download that
// only lingers.
func TestSeek(t *testing.T) {
	for _, c := range []struct {
		name  string
		stays bool // the first reader
		to    int64
	}{
		{"somebody else is far behind", true, 128 << 20},
		{"one's own download lingers far behind", false, 128 << 20},
		{"one's own download lingers near", false, 68 << 20}, // the window is 64 MiB
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				f := newFilm(t, dir)
				first := f.open(0)
				defer first.Close()
				if _, err := io.CopyN(io.Discard, first, 4<<20); err != nil {
					t.Fatal(err)
				}
				if !c.stays {
					first.Close()
				}
				began := time.Now()
				second := f.open(c.to)
				defer second.Close()
				if _, err := io.CopyN(io.Discard, second, 1); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(began); d > 500*time.Millisecond {
					t.Errorf("the first byte came after %v", d)
				}
			})
		})
	}
}
