package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dtpx/cache/internal/disk"
	ranges "dtpx/range"
)

// rig is an origin, a cache in front of it with the real engine behind, and a
// clock that the test moves.
type rig struct {
	t      *testing.T
	dir    string
	cache  *Cache
	engine *ranges.Engine
	origin *httptest.Server

	mu      sync.Mutex
	clock   time.Time
	handler http.HandlerFunc

	hosts  bool                  // the origin is whatever host is asked
	public func(netip.Addr) bool // nil: all are
	memory int64                 // of the store; 0 is its default

	requests atomic.Int64
	body     atomic.Int64 // bytes that handlers have written
}

func newRig(t *testing.T, h http.HandlerFunc) *rig { return newRigOver(t, "http", h) }

// newRigOver has an origin of a scheme.
func newRigOver(t *testing.T, scheme string, h http.HandlerFunc) *rig {
	r := &rig{t: t, dir: t.TempDir(), clock: time.Now(), handler: h}
	r.origin = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.requests.Add(1)
		r.mu.Lock()
		h := r.handler
		r.mu.Unlock()
		w.Header().Set("Date", r.now().UTC().Format(http.TimeFormat))
		h(&counted{ResponseWriter: w, n: &r.body}, q)
	}))
	if scheme == "https" {
		r.origin.StartTLS()
	} else {
		r.origin.Start()
	}
	t.Cleanup(r.origin.Close)
	r.open()
	t.Cleanup(func() { r.close() })
	return r
}

// counted counts body bytes.
type counted struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n.Add(int64(n))
	return n, err
}

func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (r *rig) open() {
	r.t.Helper()
	if r.public == nil {
		r.public = func(netip.Addr) bool { return true }
	}
	c, err := Open(Options{Dir: r.dir, learn: 5 * time.Millisecond, public: r.public, store: disk.Options{Memory: r.memory}, Now: r.now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.cache = c
	r.engine = &ranges.Engine{}
}

func (r *rig) close() {
	if r.cache != nil {
		r.engine.Close()
		if err := r.cache.Close(); err != nil {
			r.t.Error(err)
		}
		r.cache = nil
	}
}

// again closes the cache and opens it as after a restart.
func (r *rig) again() {
	r.close()
	r.open()
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clock
}

func (r *rig) later(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = r.clock.Add(d)
}

func (r *rig) serve(h http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handler = h
}

// through is a client's way through the cache. Each has connections of its own.
func (r *rig) through(realm string) *Transport {
	base := &http.Transport{DisableCompression: true}
	if tr, ok := r.origin.Client().Transport.(*http.Transport); ok {
		base.TLSClientConfig = tr.TLSClientConfig.Clone()
	}
	if r.hosts {
		base.TLSClientConfig.ServerName = "example.com" // as its certificate says
		base.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, r.origin.Listener.Addr().String())
		}
	}
	own := ranges.Framed(base)
	r.t.Cleanup(base.CloseIdleConnections)
	r.t.Cleanup(own.CloseIdleConnections)
	return &Transport{Cache: r.cache, Realm: realm, Next: &ranges.Transport{Base: base, Own: own, Engine: r.engine, Realm: realm}}
}

// answer is a response that has been read.
type answer struct {
	*http.Response
	body []byte
	err  error
}

func (r *rig) request(ctx context.Context, method, path string, fields ...string) *http.Request {
	at := r.origin.URL + path
	if r.hosts {
		at = path
	}
	req, err := http.NewRequestWithContext(ctx, method, at, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	return req
}

func (r *rig) do(method, path string, fields ...string) answer {
	return r.as("local", method, path, fields...)
}

func (r *rig) as(realm, method, path string, fields ...string) answer {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	resp, err := r.through(realm).RoundTrip(r.request(ctx, method, path, fields...))
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp, b, err}
}

func (r *rig) get(path string, fields ...string) answer { return r.do("GET", path, fields...) }

// content is random bytes that do not compress.
func content(size int, seed uint64) []byte {
	b := make([]byte, size+7)
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := 0; i < size; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], rng.Uint64())
	}
	return b[:size]
}

// file serves content as static files are served, for as long as max-age says.
func file(b []byte, tag string, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		if tag != "" {
			w.Header().Set("Etag", tag)
		}
		for i := 0; i+1 < len(fields); i += 2 {
			w.Header().Set(fields[i], fields[i+1])
		}
		http.ServeContent(w, q, "f.bin", time.Time{}, bytes.NewReader(b))
	}
}

// want checks an answer whole.
func (r *rig) want(a answer, status int, body []byte) {
	r.t.Helper()
	if a.err != nil || a.StatusCode != status || !bytes.Equal(a.body, body) {
		r.t.Fatalf("status %d, %d bytes, %v; want %d, %d bytes (%v)", a.StatusCode, len(a.body), a.err, status, len(body), a.Header)
	}
}

// cost checks what the origin has done since the last call.
func (r *rig) cost(requests, body int64) {
	r.t.Helper()
	if n, b := r.requests.Swap(0), r.body.Swap(0); n != requests || b != body {
		r.t.Fatalf("the origin had %d requests and sent %d bytes, want %d and %d", n, b, requests, body)
	}
}

// soon gets path without waiting for another client's answer.
func (r *rig) soon(path string, body []byte) {
	r.t.Helper()
	began := time.Now()
	r.want(r.get(path), 200, body)
	if d := time.Since(began); d > waitMost*3/4 {
		r.t.Errorf("it took %v", d)
	}
}

// renewed checks that what was kept of /f is gone, and that newer is kept instead.
func (r *rig) renewed(newer []byte) {
	r.t.Helper()
	r.serve(file(newer, `"v2"`, "Cache-Control", fresh))
	r.want(r.get("/f"), 200, newer)
	r.requests.Store(0)
	r.body.Store(0)
	r.want(r.get("/f"), 200, newer)
	r.cost(0, 0)
}

func span(from, to int) string { return fmt.Sprintf("bytes=%d-%d", from, to-1) }

// infos is what is on disk.
func (r *rig) infos() (all []disk.Info) {
	r.cache.store.Entries(func(i disk.Info) bool {
		all = append(all, i)
		return true
	})
	return all
}
