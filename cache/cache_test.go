package cache

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const fresh = "max-age=3600"

var sizes = map[string]int{"empty": 0, "small": 1000, "a block": 256 << 10, "odd": 3<<20 + 17, "accelerated": 9<<20 + 5}

// TestHit: a second answer costs the origin nothing, also after a restart.
func TestHit(t *testing.T) {
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			b := content(size, 1)
			r := newRig(t, file(b, `"v1"`, "Cache-Control", fresh))
			r.want(r.get("/f"), 200, b)
			r.requests.Store(0)
			r.body.Store(0)
			for _, restart := range []bool{false, true} {
				if restart {
					r.again()
				}
				a := r.get("/f")
				r.want(a, 200, b)
				r.cost(0, 0)
				if cs := a.Header.Get("Cache-Status"); !strings.HasPrefix(cs, "dtpx; hit") {
					t.Errorf("Cache-Status %q", cs)
				}
				if a.Header.Get("Age") == "" || a.ContentLength != int64(size) {
					t.Errorf("Age %q, length %d", a.Header.Get("Age"), a.ContentLength)
				}
			}
			if size > 10 {
				r.want(r.get("/f", "Range", span(5, size-3)), 206, b[5:size-3])
				r.want(r.do("HEAD", "/f"), 200, nil)
				r.want(r.get("/f", "If-None-Match", `"v1"`), 304, nil)
				r.cost(0, 0)
			}
		})
	}
}

// TestStale: what is stale costs a question and no body; what has changed is
// fetched and takes its place.
func TestStale(t *testing.T) {
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			b := content(size, 1)
			r := newRig(t, file(b, `"v1"`, "Cache-Control", fresh))
			r.want(r.get("/f"), 200, b)
			r.later(2 * time.Hour)
			r.requests.Store(0)
			r.body.Store(0)
			r.want(r.get("/f"), 200, b)
			r.cost(1, 0)
			if s := r.cache.Stats(); s.KeptBytes != int64(size) || s.HitBytes != 0 {
				t.Errorf("%d bytes were here, %d of hits", s.KeptBytes, s.HitBytes)
			}
			r.want(r.get("/f"), 200, b) // the 304 has made it fresh again
			r.cost(0, 0)

			n := content(size+1, 2)
			r.serve(file(n, `"v2"`, "Cache-Control", fresh))
			r.later(2 * time.Hour)
			r.want(r.get("/f"), 200, n)
			r.requests.Store(0)
			r.body.Store(0)
			r.want(r.get("/f"), 200, n)
			r.cost(0, 0)
		})
	}
}

// readSome reads n bytes of a path and leaves.
func (r *rig) readSome(path string, n int64) {
	r.t.Helper()
	resp, err := r.through("local").RoundTrip(r.request(r.t.Context(), "GET", path))
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, n); err != nil {
		r.t.Fatal(err)
	}
}

// TestResume: what was broken off goes on where it stopped, after a restart as
// well, fresh or stale, for a repeat and for a Range.
func TestResume(t *testing.T) {
	const size, part = 12 << 20, 5 << 20
	b := content(size, 1)
	for _, c := range []struct {
		name    string
		restart bool
		stale   bool
		from    int
	}{
		{"repeated", false, false, 0},
		{"repeated after a restart", true, false, 0},
		{"repeated when stale", false, true, 0},
		{"wget -c", false, false, part},
		{"wget -c after a restart, stale", true, true, part - 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, file(b, `"v1"`, "Cache-Control", fresh))
			r.readSome("/f", part)
			if c.restart {
				r.again()
			}
			if c.stale {
				r.later(2 * time.Hour)
			}
			r.engine.Connections = 1 // what more of them have in their sockets when they are cut would count
			r.requests.Store(0)
			r.body.Store(0)
			var fields []string
			status := 200
			if c.from > 0 {
				fields, status = []string{"Range", span(c.from, size)}, 206
			}
			r.want(r.get("/f", fields...), status, b[c.from:])
			if n := r.body.Load(); n > size-part+2<<18 {
				t.Errorf("the origin sent %d bytes for %d that were missing", n, size-part)
			}
			r.requests.Store(0)
			r.body.Store(0)
			r.want(r.get("/f"), 200, b)
			if c.from == 0 {
				r.cost(0, 0)
			}
		})
	}
}

// TestResumeIsListedOnce: what the cache fetches to complete an answer is in the line of
// that answer.
func TestResumeIsListedOnce(t *testing.T) {
	const size, part = 16 << 20, 5 << 20
	b := content(size, 1)
	r := newRig(t, file(b, `"v1"`, "Cache-Control", fresh))
	r.readSome("/f", part)
	r.again() // with an engine that has listed nothing
	way := r.through("local")
	way.Watch = r.engine.Cached
	resp, err := way.RoundTrip(r.request(t.Context(), "GET", "/f"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	r.want(answer{resp, got, err}, 200, b)
	all := r.engine.Downloads()
	if len(all) != 1 || all[0].Cache != "partial" || len(all[0].Sources) != 2 {
		t.Fatalf("%+v", all)
	}
	if s := all[0].Sources; s[0].Bytes < part/2 || s[1].Bytes < part || s[0].Bytes+s[1].Bytes != size {
		t.Errorf("%+v", s)
	}
}

// TestResumeChanged: a part of another version is never joined.
func TestResumeChanged(t *testing.T) {
	const size, part = 12 << 20, 5 << 20
	b, n := content(size, 1), content(size, 2)
	for _, ranged := range []bool{false, true} {
		r := newRig(t, file(b, `"v1"`, "Cache-Control", fresh))
		r.readSome("/f", part)
		r.serve(file(n, `"v2"`, "Cache-Control", fresh))
		if ranged {
			r.want(r.get("/f", "Range", span(part, size)), 206, n[part:])
		} else {
			r.want(r.get("/f"), 200, n)
		}
		r.want(r.get("/f"), 200, n)
	}
}

// TestForwardedIsNoHit: what the origin was asked for is not called a hit although
// something fresh is there.
func TestForwardedIsNoHit(t *testing.T) {
	b := content(12<<20, 1)
	for _, c := range []struct {
		tag    string
		fields []string
		want   string
	}{
		{`"v1"`, nil, "dtpx; fwd=partial; fwd-status=206; stored"},
		{`W/"v1"`, nil, "dtpx; fwd=partial; fwd-status=200; stored"}, // the part is of no use
		{`"v1"`, []string{"If-Match", `"v2"`}, "dtpx; fwd=request; fwd-status=412"},
	} {
		r := newRig(t, file(b, c.tag, "Cache-Control", fresh))
		r.readSome("/f", 5<<20)
		if cs := r.get("/f", c.fields...).Header.Get("Cache-Status"); !strings.HasPrefix(cs, c.want) {
			t.Errorf("%s %v: %q", c.tag, c.fields, cs)
		}
	}
}

// TestRanges: what players ask for piece by piece is kept piece by piece.
func TestRanges(t *testing.T) {
	const size = 8 << 20
	b := content(size, 1)
	r := newRig(t, file(b, `"v1"`, "Cache-Control", fresh))
	for _, p := range [][2]int{{1 << 20, 2 << 20}, {4 << 20, 5 << 20}, {1<<20 + 5, 2<<20 - 5}} {
		r.want(r.get("/f", "Range", span(p[0], p[1])), 206, b[p[0]:p[1]])
	}
	r.cost(2, 2<<20)
	r.want(r.get("/f"), 200, b)
	if n := r.cache.Stats().KeptBytes; n != 2<<20 {
		t.Errorf("%d bytes were here", n)
	}
	if n := r.body.Load(); n != 6<<20 {
		t.Errorf("the origin sent %d bytes for the %d that were missing", n, 6<<20)
	}
	r.requests.Store(0)
	r.body.Store(0)
}

// TestRemove: what people take out, by its URL or as they see it, is out of memory and
// disk, and nothing else is.
func TestRemove(t *testing.T) {
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			b := content(size, 1)
			r := newRig(t, file(b, `"v1"`, "Cache-Control", fresh))
			all := []string{"/f", "/f?a=1", "/f?a=2", "/g?a=1"}
			held := func(want ...string) {
				t.Helper()
				for _, path := range all {
					a := r.get(path, "Cache-Control", "only-if-cached")
					if got := a.StatusCode == 200; got != slices.Contains(want, path) {
						t.Errorf("%s: %v", path, got)
					}
				}
			}
			for _, path := range all {
				r.want(r.get(path), 200, b)
			}
			held(all...)
			for _, c := range []struct {
				rm   string
				n    int
				left []string
			}{
				{"/none", 0, all},
				{"/none?…", 0, all},
				{"/f?…", 2, []string{"/f", "/g?a=1"}},
				{"/f", 1, []string{"/g?a=1"}},
			} {
				if n, err := r.cache.Remove(r.origin.URL + c.rm); n != c.n || err != nil {
					t.Errorf("%s: %d removed, %v", c.rm, n, err)
				}
				held(c.left...)
			}
			if n := r.cache.Purge(); n != 1 {
				t.Errorf("%d purged", n)
			}
			held()
			r.again()
			held()
		})
	}
}

// TestReplacedByWhatIsNotKept: once an answer that may not be kept has shown that the
// resource is another one, what was kept of it is not served on, however fresh.
func TestReplacedByWhatIsNotKept(t *testing.T) {
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			b, n := content(size, 1), content(size+1, 2)
			r := newRig(t, file(b, `"v1"`, "Cache-Control", fresh))
			r.want(r.get("/f"), 200, b)
			r.serve(file(n, `"v2"`, "Cache-Control", "no-store"))
			r.want(r.get("/f", "Cache-Control", "no-cache"), 200, n)
			r.want(r.get("/f"), 200, n)
			r.serve(http.NotFound)
			if a := r.get("/f"); a.StatusCode != 404 {
				t.Errorf("status %d of what is gone", a.StatusCode)
			}
		})
	}
	const size, part = 12 << 20, 5 << 20
	b, n := content(size, 1), content(size, 2)
	for _, ranged := range []bool{false, true} {
		r := newRig(t, file(b, `"v1"`, "Cache-Control", fresh))
		r.want(r.get("/f", "Range", span(0, part)), 206, b[:part])
		r.serve(file(n, `"v2"`, "Cache-Control", "no-store"))
		if ranged {
			r.want(r.get("/f", "Range", span(part-5, size)), 206, n[part-5:])
		} else {
			r.want(r.get("/f"), 200, n)
		}
		r.want(r.get("/f", "Range", span(0, 100)), 206, n[:100])
	}
	r := newRig(t, file(b, `"v1"`, "Cache-Control", fresh))
	r.want(r.get("/f"), 200, b)
	r.serve(func(w http.ResponseWriter, q *http.Request) { w.WriteHeader(403) }) // about who asks
	r.get("/f", "Cache-Control", "no-cache")
	r.requests.Store(0)
	r.body.Store(0)
	r.want(r.get("/f"), 200, b)
	r.cost(0, 0)
}

// TestKeptWithTheLastByte: a client that has its last byte may ask again at once,
// before anybody has looked whether there is more. Over h2 the end of a body comes
// by itself.
func TestKeptWithTheLastByte(t *testing.T) {
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			body := content(size, 1)
			r := newRig(t, file(body, `"v1"`, "Cache-Control", fresh))
			way := r.through("local")
			way.Next = endless{way.Next}
			resp, err := way.RoundTrip(r.request(t.Context(), "GET", "/f"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.ReadFull(resp.Body, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			if r.want(r.get("/f"), 200, body); size > 0 && r.requests.Load() > 1 && size < 4<<20 {
				t.Errorf("the origin was asked %d times", r.requests.Load())
			}
		})
	}
}

// endless sends requests on; the end of a body comes by itself.
type endless struct{ http.RoundTripper }

func (e endless) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := e.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body = lateEnd{resp.Body}
	}
	return resp, err
}

type lateEnd struct{ io.ReadCloser }

func (l lateEnd) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}
