package cache

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ranges "dtpx/range"
)

// TestManyAtOnce: twenty clients who ask for one file at once cost the origin one
// answer, large or small, and everybody gets all of it.
func TestManyAtOnce(t *testing.T) {
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			b := content(size, 1)
			var gate sync.WaitGroup
			gate.Add(1)
			r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
				gate.Wait()
				file(b, `"v1"`, "Cache-Control", fresh)(w, q)
			})
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					a := r.get("/f")
					if a.err != nil || a.StatusCode != 200 || !bytes.Equal(a.body, b) {
						t.Errorf("status %d, %d bytes, %v", a.StatusCode, len(a.body), a.err)
					}
				})
			}
			waitFor(t, func() bool { return r.requests.Load() > 0 })
			gate.Done()
			wg.Wait()
			// Connections that are cut have some in their sockets' buffers, and on a busy
			// machine one may lose patience; without sharing it would be twenty times.
			if n := r.body.Load(); n > int64(size)+int64(size)/100 && (size < ranges.DefaultMinSize || n > 2*int64(size)) {
				t.Errorf("the origin sent %d bytes of %d", n, size)
			}
		})
	}
}

// TestNoneTooLate: who looks just before the answer has come, and asks just after, gets
// that one.
func TestNoneTooLate(t *testing.T) {
	const files, clients = 1500, 8
	b := content(100, 1)
	r := newRig(t, file(b, `"v1"`, "Cache-Control", fresh))
	for i := range files {
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				if a := r.get(fmt.Sprintf("/f%d", i)); a.err != nil || !bytes.Equal(a.body, b) {
					t.Errorf("status %d, %d bytes, %v", a.StatusCode, len(a.body), a.err)
				}
			})
		}
		wg.Wait()
	}
	if n := r.requests.Load(); n != files {
		t.Errorf("%d requests for %d files", n, files)
	}
}

// TestNobodyWaitsInVain: where answers cannot be shared nobody waits for another one's
// header section, but for the first time.
func TestNobodyWaitsInVain(t *testing.T) {
	b := content(1000, 1)
	r := newRig(t, file(b, "", "Cache-Control", "no-store"))
	r.want(r.get("/poll"), 200, b)
	gate := make(chan bool)
	r.serve(func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("X-Slow") != "" {
			<-gate
		}
		file(b, "", "Cache-Control", "no-store")(w, q)
	})
	first := make(chan answer, 1)
	r.requests.Store(0)
	go func() { first <- r.get("/poll", "X-Slow", "1") }()
	waitFor(t, func() bool { return r.requests.Load() == 1 })
	r.soon("/poll", b)
	close(gate)
	r.want(<-first, 200, b)
}

// TestManyWithHoles: where blocks are not kept because the disk is slow, those who
// follow fetch each of them once, and not each of them each.
func TestManyWithHoles(t *testing.T) {
	const size, clients = 9<<20 + 5, 12
	b := content(size, 1)
	r := newRig(t, file(b, `"v1"`, "Cache-Control", fresh))
	r.close()
	r.memory = 512 << 10
	r.open()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			a := r.get("/f")
			if a.err != nil || a.StatusCode != 200 || !bytes.Equal(a.body, b) {
				t.Errorf("status %d, %d bytes, %v", a.StatusCode, len(a.body), a.err)
			}
		})
	}
	wg.Wait()
	t.Logf("%d blocks dropped, the origin sent %.2f times the file", r.cache.Stats().Dropped, float64(r.body.Load())/size)
	if n := r.body.Load(); n > clients*size/2 {
		t.Errorf("the origin sent %d bytes of %d", n, size)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}

// slowly serves b, but stops in the middle until the gate opens.
func slowly(b []byte, gate *sync.WaitGroup) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Etag", `"v1"`)
		w.Header().Set("Cache-Control", fresh)
		http.ServeContent(w, q, "f.bin", time.Time{}, &gated{Reader: bytes.NewReader(b), gate: gate})
	}
}

type gated struct {
	*bytes.Reader
	gate *sync.WaitGroup
}

func (g *gated) Read(p []byte) (int, error) {
	if g.Len() < int(g.Size())/2 {
		g.gate.Wait()
	}
	return g.Reader.Read(p)
}

// TestFollow: who comes late reads what is there at once and then follows.
func TestFollow(t *testing.T) {
	const size = 3 << 20 // one connection: it is not accelerated
	b := content(size, 1)
	var gate sync.WaitGroup
	gate.Add(1)
	r := newRig(t, slowly(b, &gate))
	first := make(chan answer, 1)
	go func() { first <- r.get("/f") }()
	waitFor(t, func() bool { return r.cache.Stats().DiskWritten > 2 })
	resp, err := r.through("local").RoundTrip(r.request(t.Context(), "GET", "/f"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	early := make([]byte, 512<<10)
	if _, err := io.ReadFull(resp.Body, early); err != nil { // while the origin stands still
		t.Fatal(err)
	}
	gate.Done()
	rest, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(append(early, rest...), b) {
		t.Errorf("%d bytes, %v", len(early)+len(rest), err)
	}
	r.want(<-first, 200, b)
	if n := r.requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestLeaderLeaves: when the client leaves for whom it was fetched, those who
// follow go on, and get the right bytes.
func TestLeaderLeaves(t *testing.T) {
	const size = 3 << 20
	b := content(size, 1)
	var gate sync.WaitGroup
	gate.Add(1)
	r := newRig(t, slowly(b, &gate))
	resp, err := r.through("local").RoundTrip(r.request(t.Context(), "GET", "/f"))
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, resp.Body)
	waitFor(t, func() bool { return r.cache.Stats().DiskWritten > 2 })
	follower := make(chan answer, 1)
	go func() { follower <- r.get("/f") }()
	waitFor(t, func() bool { return r.cache.Stats().Hits > 0 })
	resp.Body.Close()
	gate.Done()
	r.want(<-follower, 200, b)
}

// TestFinish: what a client leaves behind is fetched to its end if most is there.
func TestFinish(t *testing.T) {
	const size = 16 << 20
	b := content(size, 1)
	var asked atomic.Int64
	for _, c := range []struct {
		part  int64
		spare func(int64) bool
		want  bool
	}{
		{size / 10, nil, false},
		{size - 1<<20, nil, true},
		{size - 1<<20, func(n int64) bool { return n <= 2<<20 }, true},
		{size - 1<<20, func(n int64) bool { asked.Store(n); return false }, false}, // no quota left
	} {
		r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
			if q.Header.Get("Range") != "" {
				file(b, `"v1"`, "Cache-Control", fresh)(w, q)
				return
			}
			w.Header().Set("Etag", `"v1"`)
			w.Header().Set("Cache-Control", fresh)
			w.Header().Set("Content-Length", strconv.Itoa(size))
			w.Write(b[:c.part+1000]) // so that nothing is read ahead
			w.(interface{ Unwrap() http.ResponseWriter }).Unwrap().(http.Flusher).Flush()
			<-q.Context().Done()
		})
		r.engine.Connections = 1
		r.cache.Spare(c.spare)
		r.readSome("/f", c.part)
		if c.want {
			waitFor(t, func() bool { return r.cache.Stats().Complete == 1 })
			r.requests.Store(0)
			r.body.Store(0)
			r.want(r.get("/f"), 200, b)
			r.cost(0, 0)
		} else if r.cache.busy() {
			t.Errorf("%d bytes are finished", c.part)
		}
	}
	if n := asked.Load(); n <= 0 || n > 1<<20 {
		t.Errorf("asked whether %d bytes are left", n)
	}
}

// TestRealms: what one realm has fetched is given to another one only after the
// origin has confirmed it there.
func TestRealms(t *testing.T) {
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			b := content(size, 1)
			r := newRig(t, file(b, `"v1"`, "Cache-Control", fresh))
			r.want(r.as("local", "GET", "/f"), 200, b)
			r.requests.Store(0)
			r.body.Store(0)
			r.want(r.as("remote", "GET", "/f"), 200, b)
			r.cost(1, 0)
			r.want(r.as("remote", "GET", "/f"), 200, b)
			r.want(r.as("local", "GET", "/f"), 200, b)
			r.cost(0, 0)
		})
	}
}

// TestNotKept: nothing of these reaches memory or disk.
func TestNotKept(t *testing.T) {
	const secret = "only for one pair of eyes "
	for name, size := range map[string]int{"small": 1000, "large": 3 << 20, "accelerated": 9 << 20} {
		for what, fields := range map[string][]string{
			"no-store":   {"Cache-Control", "no-store"},
			"private":    {"Cache-Control", "private, max-age=100"},
			"set-cookie": {"Set-Cookie", "session=1", "Cache-Control", "max-age=100"},
			"vary *":     {"Vary", "*", "Cache-Control", "max-age=100"},
		} {
			b := bytes.Repeat([]byte(secret), size/len(secret)+1)
			r := newRig(t, file(b, `"v1"`, fields...))
			r.want(r.get("/f"), 200, b)
			r.want(r.get("/f"), 200, b)
			if n := r.body.Load(); n < 2*int64(len(b)) {
				t.Errorf("%s, %s: the origin sent %d bytes", name, what, n)
			}
			r.close()
			filepath.Walk(r.dir, func(path string, i os.FileInfo, err error) error {
				if i.Mode().IsRegular() {
					if b, _ := os.ReadFile(path); bytes.Contains(b, []byte(secret)) {
						t.Errorf("%s, %s: it is in %s", name, what, path)
					}
				}
				return nil
			})
		}
	}
}

// TestUnknownLength: chunked bodies are kept when they are whole; one that ends with
// its connection never is, for nobody can tell whether it was cut.
func TestUnknownLength(t *testing.T) {
	b := content(20_000, 1)
	for name, c := range map[string]struct {
		head string
		kept bool
	}{
		"chunked": {"", true},
		"closed":  {"HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: max-age=100\r\n\r\n", false},
		"1.0":     {"HTTP/1.0 200 OK\r\nCache-Control: max-age=100\r\n\r\n", false},
	} {
		r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
			if c.head == "" {
				w.Header().Set("Cache-Control", "max-age=100")
				w.(interface{ Unwrap() http.ResponseWriter }).Unwrap().(http.Flusher).Flush()
				w.Write(b)
				return
			}
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, c.head)
			conn.Write(b)
		})
		r.want(r.get("/f"), 200, b)
		r.requests.Store(0)
		r.want(r.get("/f"), 200, b)
		if kept := r.requests.Load() == 0; kept != c.kept {
			t.Errorf("%s: kept %v", name, kept)
		}
	}
}

// TestGathered: a body of unknown length is kept up to some size, also beyond what
// memory keeps, and all together take no more than they may.
func TestGathered(t *testing.T) {
	for size, want := range map[int]bool{smallMax: true, smallMax + 1: true, 5<<20 + 3: true, gatherMax + smallMax: true, gatherMax + smallMax + 1: false} {
		b := content(size, 1)
		r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Cache-Control", "max-age=100")
			w.(interface{ Unwrap() http.ResponseWriter }).Unwrap().(http.Flusher).Flush()
			w.Write(b)
		})
		first := r.get("/f")
		r.want(first, 200, b)
		// It is not known yet how much will come (RFC 9211 §2.5: "stored" says that it was).
		if cs := first.Header.Get("Cache-Status"); cs != "dtpx; fwd=uri-miss; fwd-status=200" {
			t.Errorf("%d bytes: %q", size, cs)
		}
		r.readSome("/left", 2<<10)
		r.again()
		r.requests.Store(0)
		a := r.get("/f")
		r.want(a, 200, b)
		if kept := r.requests.Load() == 0; kept != want || kept && a.ContentLength != int64(size) {
			t.Errorf("%d bytes: kept %v, length %d", size, kept, a.ContentLength)
		}
		if n := r.cache.gathered.Load(); n != 0 {
			t.Errorf("%d bytes: %d are gathered for ever", size, n)
		}
		r.cache.gathered.Store(gatherSum)
		r.want(r.get("/other"), 200, b)
		r.requests.Store(0)
		r.want(r.get("/other"), 200, b)
		if kept := r.requests.Load() == 0; kept != (size <= smallMax) {
			t.Errorf("%d bytes: kept %v without room", size, kept)
		}
	}
}

// TestPersonal: credentials keep a client's answers its own.
func TestPersonal(t *testing.T) {
	a, b := content(5000, 1), content(6000, 2)
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		body := a
		if q.Header.Get("Authorization") == "bob" || q.Header.Get("Cookie") == "bob" {
			body = b
		}
		w.Header().Set("Cache-Control", "max-age=100")
		w.Write(body)
	})
	for _, field := range []string{"Authorization", "Cookie"} {
		r.want(r.get("/f", field, "alice"), 200, a)
		r.want(r.get("/f", field, "bob"), 200, b)
	}
	r.want(r.get("/f"), 200, a)
}

// TestUnsafe: a write ends what is stored of its target.
func TestUnsafe(t *testing.T) {
	b := content(5000, 1)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "FROB"} {
		r := newRig(t, file(b, `"v1"`, "Cache-Control", fresh))
		r.want(r.get("/f"), 200, b)
		r.serve(func(w http.ResponseWriter, q *http.Request) { w.WriteHeader(204) })
		r.do(method, "/f")
		n := content(4000, 2)
		r.serve(file(n, `"v2"`, "Cache-Control", fresh))
		r.want(r.get("/f"), 200, n)
	}
}

// TestUnsafeMeanwhile: a write also ends what was on its way while it came.
func TestUnsafeMeanwhile(t *testing.T) {
	for name, size := range map[string]int{"small": 1000, "gathered": 3 << 20, "large": -3 << 20} {
		for _, end := range []func(r *rig){
			func(r *rig) { r.do("PUT", "/f") },
			func(r *rig) { r.cache.Purge() },
		} {
			older, newer := content(max(size, -size), 1), content(5000, 2)
			var gate sync.WaitGroup
			gate.Add(1)
			r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
				w.Header().Set("Cache-Control", fresh)
				w.Header().Set("Etag", `"v1"`)
				if size < 0 {
					w.Header().Set("Content-Length", strconv.Itoa(len(older)))
				}
				w.Write(older[:len(older)/2])
				w.(interface{ Unwrap() http.ResponseWriter }).Unwrap().(http.Flusher).Flush()
				gate.Wait()
				w.Write(older[len(older)/2:])
			})
			resp, err := r.through("local").RoundTrip(r.request(t.Context(), "GET", "/f"))
			if err != nil {
				t.Fatal(err)
			}
			r.serve(func(w http.ResponseWriter, q *http.Request) { w.WriteHeader(204) })
			end(r)
			gate.Done()
			if b, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(b, older) {
				t.Errorf("%s: %d bytes, %v", name, len(b), err)
			}
			resp.Body.Close()
			r.renewed(newer)
		}
	}
}

// TestOriginFails: a stale answer stands in where the origin cannot give one, and
// a dead origin is an error where there is none.
func TestOriginFails(t *testing.T) {
	b := content(5000, 1)
	r := newRig(t, file(b, `"v1"`, "Cache-Control", "max-age=10, stale-if-error=100"))
	r.want(r.get("/f"), 200, b)
	r.later(30 * time.Second)
	r.serve(func(w http.ResponseWriter, q *http.Request) { w.WriteHeader(503) })
	r.want(r.get("/f"), 200, b)
	r.later(300 * time.Second)
	if a := r.get("/f"); a.StatusCode != 503 {
		t.Errorf("status %d long after", a.StatusCode)
	}
	if a := r.get("/other"); a.StatusCode != 503 {
		t.Errorf("status %d", a.StatusCode)
	}
}

// TestStaleWhileRevalidate answers at once and asks behind the client's back.
func TestStaleWhileRevalidate(t *testing.T) {
	b := content(5000, 1)
	r := newRig(t, file(b, `"v1"`, "Cache-Control", "max-age=10, stale-while-revalidate=100"))
	r.want(r.get("/f"), 200, b)
	n := content(6000, 2)
	r.serve(file(n, `"v2"`, "Cache-Control", "max-age=10, stale-while-revalidate=100"))
	r.later(30 * time.Second)
	r.want(r.get("/f"), 200, b)
	waitFor(t, func() bool { return !r.cache.busy() })
	r.requests.Store(0)
	r.body.Store(0)
	r.want(r.get("/f"), 200, n)
	r.cost(0, 0)

	b, n = content(20<<20, 1), content(20<<20, 2)
	r.serve(file(b, `"v1"`, "Cache-Control", "max-age=10, stale-while-revalidate=100", "Accept-Ranges", "none"))
	r.want(r.get("/large"), 200, b)
	r.later(30 * time.Second)
	second := file(n, `"v2"`, "Cache-Control", "max-age=10, stale-while-revalidate=100", "Accept-Ranges", "none")
	var asked atomic.Int32
	r.serve(func(w http.ResponseWriter, q *http.Request) {
		if asked.Add(1) > 1 {
			second(w, q)
			return
		}
		w.Header().Set("Etag", `"v2"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(n)))
		w.Write(n[:1<<20])
		w.(interface{ Unwrap() http.ResponseWriter }).Unwrap().(http.Flusher).Flush()
		<-q.Context().Done() // the rest is never asked for
	})
	r.cache.Spare(func(int64) bool { return false }) // for what nobody waits for
	r.body.Store(0)
	r.want(r.get("/large"), 200, b)
	waitFor(t, func() bool { return !r.cache.busy() })
	if n := r.body.Load(); n > 12<<20 {
		t.Errorf("%d bytes were fetched for nobody", n)
	}
	r.want(r.get("/large"), 200, n)
}

// TestReplacedWhileServed: a small answer that is replaced before it is on disk, and
// before its client has read it, is still that client's.
func TestReplacedWhileServed(t *testing.T) {
	older, newer := content(5000, 1), content(6000, 2)
	r := newRig(t, file(older, `"v1"`, "Cache-Control", "max-age=10, stale-while-revalidate=100"))
	r.want(r.get("/f"), 200, older)
	r.later(30 * time.Second)
	r.serve(file(newer, `"v2"`, "Cache-Control", fresh))
	resp, err := r.through("local").RoundTrip(r.request(t.Context(), "GET", "/f"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	waitFor(t, func() bool { return !r.cache.busy() })
	if b, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(b, older) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	r.want(r.get("/f"), 200, newer)
}

// TestDamage: bytes that have rotted on disk are fetched again, and no client
// notices.
func TestDamage(t *testing.T) {
	const size = 9 << 20
	b := content(size, 1)
	r := newRig(t, file(b, `"v1"`, "Cache-Control", fresh))
	r.want(r.get("/f"), 200, b)
	r.close()
	spoilt := 0
	filepath.Walk(r.dir, func(path string, i os.FileInfo, err error) error {
		if i.Mode().IsRegular() && i.Size() > size {
			f, _ := os.OpenFile(path, os.O_RDWR, 0)
			f.WriteAt([]byte("rot"), 4<<20)
			f.Close()
			spoilt++
		}
		return nil
	})
	if spoilt != 1 {
		t.Fatalf("%d files", spoilt)
	}
	r.open()
	r.requests.Store(0)
	r.body.Store(0)
	r.want(r.get("/f"), 200, b)
	if n := r.body.Load(); n == 0 || n > 600<<10 {
		t.Errorf("the origin sent %d bytes", n)
	}
	r.requests.Store(0)
	r.body.Store(0)
	r.want(r.get("/f"), 200, b)
	r.cost(0, 0)
}

// TestOnlyIfCached never asks the origin.
func TestOnlyIfCached(t *testing.T) {
	r := newRig(t, file(content(5000, 1), `"v1"`, "Cache-Control", fresh))
	if a := r.get("/f", "Cache-Control", "only-if-cached"); a.StatusCode != 504 {
		t.Errorf("status %d", a.StatusCode)
	}
	r.cost(0, 0)
	const part = 5 << 20
	b := content(12<<20, 2)
	r.serve(file(b, `"v1"`, "Cache-Control", fresh))
	r.want(r.get("/part", "Range", span(0, part)), 206, b[:part])
	r.requests.Store(0)
	r.body.Store(0)
	if a := r.get("/part", "Cache-Control", "only-if-cached"); a.StatusCode != 504 {
		t.Errorf("status %d for what is held in part", a.StatusCode)
	}
	r.want(r.get("/part", "Cache-Control", "only-if-cached", "Range", span(5, part)), 206, b[5:part])
	r.cost(0, 0)
}

// TestInUse: a second cache on one directory says so.
func TestInUse(t *testing.T) {
	r := newRig(t, nil)
	if c, err := Open(Options{Dir: r.dir}); err == nil {
		c.Close()
		t.Error("two caches on one directory")
	}
}
