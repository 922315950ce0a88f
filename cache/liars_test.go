package cache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ranges "dtpx/range"
)

// liars are members that say that they have everything, listed before an honest one.
type liars struct {
	servers []*httptest.Server
	asked   atomic.Int64
}

// newLiars makes n of them, which answer by evil.
func newLiars(t *testing.T, n int, evil func(w http.ResponseWriter, r *http.Request)) *liars {
	l := &liars{}
	all := &summary{bits: bytes.Repeat([]byte{0xff}, 64)}
	for range n {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/summary" {
				w.Write(all.encode())
				return
			}
			l.asked.Add(1)
			evil(w, r)
		}))
		t.Cleanup(s.Close)
		l.servers = append(l.servers, s)
	}
	return l
}

// among makes b know liars before the honest one of r, and learns from all of them.
func (l *liars) among(r *rig, trusted bool) (honest *lender, b *rig) {
	r.t.Helper()
	honest, b = lend(r.t, r, trusted)
	list := b.cache.lan.list
	via := &http.Transport{}
	r.t.Cleanup(via.CloseIdleConnections)
	b.close() // the list is asked for by who runs already
	b.open()
	b.cache.Ask(func() (all []Neighbour) {
		for i, s := range l.servers {
			all = append(all, Neighbour{ID: fmt.Sprint("liar ", i), Name: "liar", Trusted: trusted, Version: 1, Via: onLAN{s, via}})
		}
		return append(all, list()...)
	})
	b.knows(honest)
	waitFor(r.t, func() bool { return len(b.cache.lan.versions()) == len(l.servers)+1 })
	honest.free()
	return honest, b
}

// offers lists one entry of a URL as it is told to anybody who asks.
func offers(w http.ResponseWriter, url string, total int64, tag string, received time.Time) {
	date := received.UTC().Format(http.TimeFormat)
	json.NewEncoder(w).Encode([]offered{{
		ID: strings.Repeat("0", 32), Total: total, Held: span64(total),
		Meta: &meta{Key: url, Status: 200, Header: http.Header{"Etag": {tag}, "Date": {date}}, Received: received},
	}})
}

// TestLiarsDoNotCrowdOut: members who say that they have everything keep nobody from what
// an honest one has, for longer than until they have been found out.
func TestLiarsDoNotCrowdOut(t *testing.T) {
	const size = 1<<20 + 7
	body := content(size, 1)
	for _, c := range []struct {
		name  string
		evil  func(origin string, w http.ResponseWriter, r *http.Request)
		costs int // downloads from the origin until then
	}{
		{"lists nothing", func(_ string, w http.ResponseWriter, r *http.Request) { w.Write([]byte("[]")) }, 0},
		{"lists what nobody can read", func(_ string, w http.ResponseWriter, r *http.Request) { w.Write([]byte("[{")) }, 0},
		{"refuses", func(_ string, w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) }, 0},
		{"lists another URL", func(o string, w http.ResponseWriter, r *http.Request) {
			offers(w, o+"/other", size, `"v1"`, time.Now())
		}, 0},
		{"lists a version that is not, from the future", func(o string, w http.ResponseWriter, r *http.Request) {
			offers(w, o+wanted.Load().(string), size, `"evil"`, time.Now().Add(1e6*time.Hour))
		}, 1},
		{"does not give what it lists", func(o string, w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/data/") {
				w.WriteHeader(404)
				return
			}
			offers(w, o+wanted.Load().(string), size, `"v1"`, time.Now())
		}, 1},
		{"breaks off", func(o string, w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/data/") {
				w.Header().Set("Content-Length", fmt.Sprint(size))
				w.WriteHeader(206)
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			offers(w, o+wanted.Load().(string), size, `"v1"`, time.Now())
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, file(body, `"v1"`, "Cache-Control", fresh))
			for i := range 4 {
				r.want(r.get(fmt.Sprint("/f", i)), 200, body)
			}
			l := newLiars(t, 4, func(w http.ResponseWriter, q *http.Request) { c.evil(r.origin.URL, w, q) })
			honest, b := l.among(r, true)
			for i := range 4 {
				path := fmt.Sprint("/f", i)
				wanted.Store(path)
				b.want(b.get(path), 200, body)
				b.want(b.get(path), 200, body) // it is here now
			}
			if n := honest.body.Load(); n > int64(c.costs*size) {
				t.Errorf("the origin sent %d bytes of 4 files, want no more than %d files", n, c.costs)
			}
			if n := l.asked.Load(); n == 0 {
				t.Error("no liar was asked: nothing is tested")
			}
			for _, m := range b.metas() {
				if m.Header.Get("Etag") != `"v1"` {
					t.Errorf("%s of %s is left", m.Header.Get("Etag"), m.Key)
				}
			}
		})
	}
}

// wanted is the path that is asked for: whoever knows a URL can tell its tag.
var wanted atomic.Value

// TestTrojansDoNotCrowdOut: nor do members who give other bytes than the origin vouches
// for. A small body is taken from the next one who has it, and the client gets it.
func TestTrojansDoNotCrowdOut(t *testing.T) {
	const size = 1<<20 + 7
	body := content(size, 1)
	path := "/dists/s/main/by-hash/SHA256/" + hexOf(body)
	r := newRig(t, file(body, `"v1"`, "Cache-Control", fresh))
	r.want(r.get(path), 200, body)
	l := newLiars(t, 6, func(w http.ResponseWriter, q *http.Request) {
		if !trojan(w, q) {
			offers(w, r.origin.URL+path, size, `"v1"`, time.Now())
		}
	})
	honest, b := l.among(r, false)
	b.want(b.get(path), 200, body)
	honest.cost(1, 0) // HEAD
	if n := len(b.cache.lan.barred()); n < 4 {
		t.Errorf("%d are dropped", n)
	}
}

func span64(n int64) []ranges.Range { return []ranges.Range{{Start: 0, End: n}} }
