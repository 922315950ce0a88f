package cache

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dtpx/cache/internal/disk"
)

// lender is a machine on the LAN: its cache, and a server that may misbehave.
type lender struct {
	*rig
	offer *Offer
	lan   *httptest.Server
	asked atomic.Int64 // about content
	name  atomic.Value // what it calls itself

	mu   sync.Mutex
	evil func(w http.ResponseWriter, r *http.Request) bool // true: answered
}

// lend makes r a lender for a second machine, with the same origin.
func lend(t *testing.T, r *rig, trusted bool) (*lender, *rig) {
	l := &lender{rig: r, offer: r.cache.Offer()}
	l.name.Store("a")
	l.lan = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/summary" {
			l.asked.Add(1)
		}
		l.mu.Lock()
		evil := l.evil
		l.mu.Unlock()
		if evil == nil || !evil(w, q) {
			l.offer.ServeHTTP(w, q)
		}
	}))
	t.Cleanup(l.lan.Close)
	b := &rig{t: t, dir: t.TempDir(), clock: r.now(), origin: r.origin, hosts: r.hosts}
	b.open()
	t.Cleanup(func() { b.close() })
	via := &http.Transport{}
	t.Cleanup(via.CloseIdleConnections)
	b.cache.Ask(func() []Neighbour {
		return []Neighbour{{ID: "key a", Name: l.name.Load().(string), Trusted: trusted, Version: l.offer.Version(), Via: onLAN{l.lan, via}}}
	})
	return l, b
}

// onLAN sends requests for a neighbour to its server.
type onLAN struct {
	s  *httptest.Server
	tr *http.Transport
}

func (o onLAN) RoundTrip(req *http.Request) (*http.Response, error) {
	there := req.Clone(req.Context())
	there.URL.Host = strings.TrimPrefix(o.s.URL, "http://")
	return o.tr.RoundTrip(there)
}

func (l *lender) be(evil func(w http.ResponseWriter, r *http.Request) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.evil = evil
}

// knows waits until b has the lender's summary.
func (b *rig) knows(l *lender) {
	b.t.Helper()
	l.later(time.Minute) // a new summary may be made
	b.later(time.Minute)
	waitFor(b.t, func() bool {
		return b.cache.lan.version("key a") == l.offer.Version()
	})
}

func (l *lender) free() { l.requests.Store(0); l.body.Store(0) }

// TestBorrow: what a trusted neighbour has costs the origin a question.
func TestBorrow(t *testing.T) {
	for name, size := range map[string]int{"a block": 256 << 10, "odd": 3<<20 + 17, "accelerated": 9<<20 + 5} {
		t.Run(name, func(t *testing.T) {
			body := content(size, 1)
			r := newRig(t, file(body, `"v1"`, "Cache-Control", fresh))
			r.want(r.get("/f"), 200, body)
			l, b := lend(t, r, true)
			b.knows(l)
			l.free()
			a := b.get("/f")
			b.want(a, 200, body)
			l.cost(1, 0)
			if cs := a.Header.Get("Cache-Status"); !strings.Contains(cs, "fwd-status=304") || !strings.Contains(cs, "neighbour") {
				t.Errorf("Cache-Status %q", cs)
			}
			b.want(b.get("/f"), 200, body) // its own now
			b.want(b.get("/f", "Range", span(7, size-1)), 206, body[7:size-1])
			l.cost(0, 0)
			if n := b.cache.Stats().Borrowed; n != int64(size) {
				t.Errorf("borrowed %d", n)
			}
			waitFor(t, func() bool { return r.cache.Stats().Given == int64(size) }) // counted once all is sent
		})
	}
}

// TestBorrowOtherwise: programs that differ in what they accept get a neighbour's copy
// as well, where the origin says that it is theirs, too; no other one.
func TestBorrowOtherwise(t *testing.T) {
	body, packed := content(3<<20, 1), content(2<<20, 2)
	for _, c := range []struct {
		name   string
		varies bool // the origin has one for each
		accept string
		want   []byte
		cost   int64
	}{
		{"the same for all", false, "identity", body, 0},
		{"its own", true, "identity", body, 3 << 20},
		{"one that it can read", true, "gzip", packed, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
				w.Header().Set("Vary", "Accept-Encoding")
				if c.varies && strings.Contains(q.Header.Get("Accept-Encoding"), "gzip") {
					file(packed, `"v1-gzip"`, "Cache-Control", fresh, "Content-Encoding", "gzip")(w, q)
					return
				}
				file(body, `"v1"`, "Cache-Control", fresh)(w, q)
			})
			r.get("/f", "Accept-Encoding", "gzip, br")
			l, b := lend(t, r, true)
			b.knows(l)
			l.free()
			b.want(b.get("/f", "Accept-Encoding", c.accept), 200, c.want)
			l.cost(1, c.cost)
		})
	}
}

// TestBorrowPart: what a neighbour has in part comes from it, the rest from the
// origin; for a Range likewise.
func TestBorrowPart(t *testing.T) {
	const size, part = 12 << 20, 5 << 20
	body := content(size, 1)
	for _, ranged := range []bool{false, true} {
		r := newRig(t, file(body, `"v1"`, "Cache-Control", fresh))
		r.want(r.get("/f", "Range", span(0, part)), 206, body[:part])
		l, b := lend(t, r, true)
		b.knows(l)
		b.engine.Connections = 1 // what more of them have in their sockets when they are cut would count
		l.free()
		if ranged {
			b.want(b.get("/f", "Range", span(1000, part-1000)), 206, body[1000:part-1000])
			l.cost(1, 0)
			continue
		}
		b.want(b.get("/f"), 200, body)
		if n := l.body.Load(); n > size-part+2<<20 { // some is in the sockets of connections that are cut
			t.Errorf("the origin sent %d bytes for %d", n, size-part)
		}
	}
}

// TestNoTrust: without trust, nor a digest of the origin, a neighbour is not even asked.
func TestNoTrust(t *testing.T) {
	body := content(3<<20, 1)
	r := newRig(t, file(body, `"v1"`, "Cache-Control", fresh))
	r.want(r.get("/f"), 200, body)
	l, b := lend(t, r, false)
	b.knows(l)
	l.free()
	b.want(b.get("/f"), 200, body)
	l.cost(1, 3<<20)
	if n := l.asked.Load(); n > 0 {
		t.Errorf("it was asked %d times", n)
	}
}

// TestPrivateOrigin: what came from a machine of this house or company is not
// offered, whatever it is called.
func TestPrivateOrigin(t *testing.T) {
	for _, size := range []int{100 << 10, 9 << 20} {
		body := content(size, 1)
		r := newRig(t, file(body, `"v1"`, "Cache-Control", fresh))
		r.close()
		r.public = isPublic
		r.open()
		r.want(r.get("/f"), 200, body)
		l, b := lend(t, r, true)
		b.knows(l)
		l.free()
		b.want(b.get("/f"), 200, body)
		if n := b.cache.Stats().Borrowed; n > 0 {
			t.Errorf("%d bytes were given", n)
		}
	}
}

func TestIsPublic(t *testing.T) {
	for a, want := range map[string]bool{
		"45.1.0.1": true, "2001:470::1": true, "127.0.0.1": false, "10.1.2.3": false, "192.168.1.1": false, "172.16.0.1": false,
		"100.64.0.1": false, "169.254.169.254": false, "0.0.0.0": false, "0.1.2.3": false, "224.0.0.1": false, "255.255.255.255": false,
		"168.63.129.16": false, "192.0.2.1": false, "2001:db8::1": false, "2001::1": false,
		"::1": false, "fe80::1": false, "fd00::1": false, "ff02::1": false, "64:ff9b::a00:1": false, "2002:a00:1::": false, "198.18.0.1": false,
	} {
		if got := isPublic(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
}

// TestBorrowChanged: another version than the neighbour's comes from the origin.
func TestBorrowChanged(t *testing.T) {
	body, newer := content(3<<20, 1), content(4<<20, 2)
	r := newRig(t, file(body, `"v1"`, "Cache-Control", fresh))
	r.want(r.get("/f"), 200, body)
	l, b := lend(t, r, true)
	b.knows(l)
	r.serve(file(newer, `"v2"`, "Cache-Control", fresh))
	b.want(b.get("/f"), 200, newer)
	b.want(b.get("/f"), 200, newer)
}

// TestPersonalNotLent: what a client with credentials asks for is not looked for at
// the neighbours', and they are not told.
func TestPersonalNotLent(t *testing.T) {
	body := content(3<<20, 1)
	r := newRig(t, file(body, `"v1"`, "Cache-Control", "public, max-age=3600"))
	r.want(r.get("/f"), 200, body)
	for _, field := range []string{"Cookie", "Authorization", "Private-Token", "X-Api-Key"} {
		l, b := lend(t, r, true)
		b.knows(l)
		l.asked.Store(0)
		b.want(b.get("/f", field, "secret"), 200, body)
		if n := l.asked.Load(); n > 0 {
			t.Errorf("%s: it was asked %d times", field, n)
		}
	}
}

// TestSelectingFieldsStay: what a client sent to get a response is not told to
// neighbours, whatever the server varies by.
func TestSelectingFieldsStay(t *testing.T) {
	body := content(1<<20, 1)
	r := newRig(t, file(body, `"v1"`, "Cache-Control", "public, max-age=3600", "Vary", "X-Who"))
	r.want(r.get("/f", "X-Who", "alice's secret"), 200, body)
	o := r.cache.Offer()
	o.Version()
	for tag := range o.tags {
		w := httptest.NewRecorder()
		o.ServeHTTP(w, httptest.NewRequest("GET", "http://neighbour/entries/"+hex.EncodeToString(tag[:]), nil))
		if w.Code != 200 || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if len(o.tags) == 0 {
		t.Error("nothing was looked at")
	}
}

// TestBadNeighbour: whatever a neighbour does short of lying about bytes, which
// trust is about, the client gets the right body.
func TestBadNeighbour(t *testing.T) {
	const size = 4 << 20
	body := content(size, 1)
	data := func(f func(w http.ResponseWriter, r *http.Request)) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.URL.Path, "/data/") {
				f(w, r)
				return true
			}
			return false
		}
	}
	list := func(change func(o *offered)) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, "/entries/") {
				return false
			}
			rec := httptest.NewRecorder()
			var all []offered
			_ = json.Unmarshal(rec.Body.Bytes(), &all)
			o := offered{ID: strings.Repeat("0", 32), Total: size, Meta: &meta{Key: "http://" + r.Host + "/f", Status: 200, Header: http.Header{}}}
			change(&o)
			json.NewEncoder(w).Encode([]offered{o})
			return true
		}
	}
	for name, evil := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"refuses":        data(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }),
		"has lost it":    data(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) }),
		"sends the rest": data(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 100)) }),
		"breaks off": data(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "4194304")
			w.WriteHeader(206)
			w.Write(body[:1<<20])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}),
		"falls silent": data(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "4194304")
			w.WriteHeader(206)
			w.Write(body[:1<<20])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}),
		"is silent": data(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		"dribbles": data(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "4194304")
			w.WriteHeader(206)
			for i := 0; r.Context().Err() == nil; i++ {
				w.Write(body[i : i+1])
				w.(http.Flusher).Flush()
				time.Sleep(50 * time.Millisecond)
			}
		}),
		"lists garbage": func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.URL.Path, "/entries/") {
				io.WriteString(w, "[{")
				return true
			}
			return false
		},
		"lists without end": func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.URL.Path, "/entries/") {
				for range 100 {
					w.Write(make([]byte, 1<<20))
				}
				return true
			}
			return false
		},
		"offers another URL":   list(func(o *offered) { o.Meta.Key = "http://other/" }),
		"offers no record":     list(func(o *offered) { o.Meta = nil }),
		"offers no validator":  list(func(o *offered) {}),
		"offers what is not":   list(func(o *offered) { o.Meta.Header.Set("Etag", `"v1"`) }),
		"offers bytes below 0": list(func(o *offered) { o.Meta.Header.Set("Etag", `"v1"`); o.Held = nil; o.Total = -5 }),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, file(body, `"v1"`, "Cache-Control", fresh))
			r.want(r.get("/f"), 200, body)
			l, b := lend(t, r, true)
			b.knows(l)
			l.be(evil)
			began := time.Now()
			b.want(b.get("/f"), 200, body)
			if d := time.Since(began); d > 10*time.Second {
				t.Errorf("it took %v", d)
			}
			b.want(b.get("/f"), 200, body)
		})
	}
}

// TestLateNeighbour: one that does not answer is not waited for again and again.
func TestLateNeighbour(t *testing.T) {
	body := content(1<<20, 1)
	for _, path := range []string{"/entries/", "/data/"} {
		r := newRig(t, file(body, `"v1"`, "Cache-Control", fresh))
		for i := range 4 {
			r.want(r.get(fmt.Sprint("/f", i)), 200, body)
		}
		l, b := lend(t, r, true)
		b.knows(l)
		var kept atomic.Int64
		l.be(func(w http.ResponseWriter, q *http.Request) bool {
			if !strings.HasPrefix(q.URL.Path, path) {
				return false
			}
			kept.Add(1)
			<-q.Context().Done()
			return true
		})
		for i := range 3 {
			b.want(b.get(fmt.Sprint("/f", i)), 200, body)
		}
		if n := kept.Load(); n != 1 {
			t.Errorf("%s: waited for %d times", path, n)
		}
		l.be(nil)
		b.later(lateTime)
		l.free()
		b.want(b.get("/f3"), 200, body)
		l.cost(1, 0)
	}
}

// TestOffer: what is asked wrongly is refused, and nothing is given that is not held.
func TestOffer(t *testing.T) {
	body := content(1<<20, 1)
	r := newRig(t, file(body, `"v1"`, "Cache-Control", fresh))
	r.want(r.get("/f"), 200, body)
	o := r.cache.Offer()
	if o.Version() == 0 {
		t.Fatal("nothing to offer")
	}
	var id string
	r.cache.store.Entries(func(i disk.Info) bool { id = i.ID.String(); return true })
	for _, c := range []struct {
		method, path, rng string
		status            int
	}{
		{"GET", "/summary", "", 200}, {"POST", "/summary", "", 405}, {"GET", "/", "", 404},
		{"GET", "/entries/zz", "", 400}, {"GET", "/entries/00", "", 400}, {"GET", "/entries/" + strings.Repeat("0", 32), "", 404},
		{"GET", "/data/" + id, "", 400}, {"GET", "/data/" + id, "bytes=0-", 400}, {"GET", "/data/" + id, "bytes=-5", 400},
		{"GET", "/data/" + id, "bytes=0-9,20-30", 400}, {"GET", "/data/../index", "bytes=0-9", 307},
		{"GET", "/data/" + strings.Repeat("0", 32), "bytes=0-9", 404}, {"GET", "/data/" + id, "bytes=5-2097152", 416},
		{"GET", "/data/" + id, "bytes=0-1048575", 206}, {"GET", "/data/" + id, "bytes=17-1000", 206},
	} {
		w := httptest.NewRecorder()
		q := httptest.NewRequest(c.method, "http://neighbour"+c.path, nil)
		if c.rng != "" {
			q.Header.Set("Range", c.rng)
		}
		if o.ServeHTTP(w, q); w.Code != c.status {
			t.Errorf("%s %s %s: %d, want %d", c.method, c.path, c.rng, w.Code, c.status)
		}
		if w.Code == 206 && !bytes.Contains(body, w.Body.Bytes()) {
			t.Errorf("%s: other bytes", c.rng)
		}
	}
}

// TestSummary: what is there is found, little else is, and the same keys make
// summaries that have nothing in common.
func TestSummary(t *testing.T) {
	const n = 5000
	keys := make([]disk.Key, 2*n)
	for i := range keys {
		rand.Read(keys[i][:])
	}
	var salts [2][16]byte
	rand.Read(salts[0][:])
	rand.Read(salts[1][:])
	var sums [2]*summary
	for i, salt := range salts {
		sums[i] = newSummary(salt, n)
		for _, k := range keys[:n] {
			sums[i].add(sums[i].tag(k))
		}
	}
	again, err := parseSummary(sums[0].encode())
	if err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for i, k := range keys {
		may := again.may(again.tag(k))
		if i < n && !may {
			t.Fatal("a key is not found")
		}
		if i >= n && may {
			wrong++
		}
	}
	if wrong > n/50 {
		t.Errorf("%d of %d are found that are not there", wrong, n)
	}
	equal := 0
	for i := range sums[0].bits {
		for bit := range 8 {
			if (sums[0].bits[i]^sums[1].bits[i])>>bit&1 == 0 {
				equal++
			}
		}
	}
	if bits := 8 * len(sums[0].bits); equal < bits*45/100 || equal > bits*55/100 {
		t.Errorf("%d of %d bits are equal under another salt", equal, bits)
	}
}

func FuzzSummary(f *testing.F) {
	f.Add(newSummary([16]byte{1}, 3).encode())
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSummary(b)
		if err != nil {
			return
		}
		s.may(s.tag(disk.Key{7}))
		if !bytes.Equal(s.encode(), b) {
			t.Error("it does not come back")
		}
	})
}
