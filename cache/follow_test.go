package cache

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"
)

// served is how an origin serves one file.
type served struct {
	tag    string
	age    time.Duration // of its modification; 0: it is not told
	ranges bool
}

func (s served) String() string {
	return "tag " + s.tag + ", age " + s.age.String() + ", ranges " + strconv.FormatBool(s.ranges)
}

// handler serves b, but the first answer stops in the middle until the gate opens.
func (s served) handler(r *rig, b []byte, gate *sync.WaitGroup) http.HandlerFunc {
	modified := time.Time{} // none
	if s.age > 0 {
		modified = r.now().Add(-s.age)
	}
	var once sync.Once
	return func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Cache-Control", fresh)
		if s.tag != "" {
			w.Header().Set("Etag", s.tag)
		}
		if !s.ranges {
			q.Header.Del("Range")
			q.Header.Del("If-Range")
		}
		at := new(sync.WaitGroup)
		once.Do(func() { at = gate })
		http.ServeContent(w, q, "f.bin", modified, &gated{Reader: bytes.NewReader(b), gate: at})
	}
}

// rig has an origin that serves b so; its first answer goes on after its middle when
// goOn is called.
func (s served) rig(t *testing.T, b []byte) (r *rig, goOn func()) {
	var gate sync.WaitGroup
	gate.Add(1)
	r = newRig(t, nil)
	r.serve(s.handler(r, b, &gate))
	return r, gate.Done
}

// leads begins a download of /f, a third of which is kept, and returns what ends it.
func (r *rig) leads() (leave func()) {
	r.t.Helper()
	resp, err := r.through("local").RoundTrip(r.request(r.t.Context(), "GET", "/f"))
	if err != nil {
		r.t.Fatal(err)
	}
	go io.Copy(io.Discard, resp.Body)
	waitFor(r.t, func() bool { return r.cache.Stats().DiskWritten > 2 })
	return func() { resp.Body.Close() }
}

// follows begins another one, and waits until it has been answered.
func (r *rig) follows() chan answer {
	r.t.Helper()
	got := make(chan answer, 1)
	resp, err := r.through("local").RoundTrip(r.request(r.t.Context(), "GET", "/f"))
	if err != nil {
		r.t.Fatal(err)
	}
	go func() {
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		got <- answer{resp, b, err}
	}()
	return got
}

var followed = []served{
	{tag: `"v1"`, ranges: true}, {tag: `"v1"`},
	{age: time.Hour, ranges: true}, {age: time.Hour},
	{tag: `W/"v1"`, age: time.Hour, ranges: true}, {tag: `W/"v1"`, age: time.Hour},
}

// TestFollowed: who comes late costs the origin nothing, whatever it says of the
// version, and whether it knows ranges or not.
func TestFollowed(t *testing.T) {
	const size = 3 << 20
	b := content(size, 1)
	for _, s := range followed {
		t.Run(s.String(), func(t *testing.T) {
			r, goOn := s.rig(t, b)
			defer r.leads()()
			follower := r.follows()
			goOn()
			r.want(<-follower, 200, b)
			r.cost(1, size)
		})
	}
}

// TestFollowerGoesOn: where the one who leads leaves, or stands still, those who follow
// get the rest on their own, from its beginning if there is no other way.
func TestFollowerGoesOn(t *testing.T) {
	const size = 3 << 20
	b := content(size, 1)
	for _, s := range followed {
		for _, stays := range []bool{false, true} {
			t.Run(s.String()+", stays "+strconv.FormatBool(stays), func(t *testing.T) {
				t.Parallel()
				r, goOn := s.rig(t, b)
				leave := r.leads()
				defer leave()
				defer goOn()
				all := []chan answer{r.follows(), r.follows(), r.follows()}
				if !stays {
					leave()
				}
				for _, follower := range all {
					r.want(<-follower, 200, b)
				}
				if n, sum := r.requests.Load(), r.body.Load(); n > 3 || sum > 2*size+size/2 {
					t.Errorf("%d requests, %d bytes for 3 who follow", n, sum)
				}
			})
		}
	}
}

// TestSlowLeader: a client who takes his time holds nobody up who follows, and one who
// waits for a slow origin is not asked beside.
func TestSlowLeader(t *testing.T) {
	b := content(24<<20, 1)
	for _, s := range followed[:2] {
		for _, slow := range []string{"client", "origin"} {
			t.Run(s.String()+", slow "+slow, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, nil)
				const size, rate = 3 << 20, 512 << 10
				body := b[:size] // not accelerated
				var origin, client pace
				if slow == "origin" {
					origin.rate = rate
				} else {
					client.rate, body = rate, b // more than sockets hold
				}
				files := s.handler(r, body, new(sync.WaitGroup))
				r.serve(func(w http.ResponseWriter, q *http.Request) { files(&throttled{ResponseWriter: w, p: &origin}, q) })
				resp, err := r.through("local").RoundTrip(r.request(t.Context(), "GET", "/f"))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				go io.CopyBuffer(&client, struct{ io.Reader }{resp.Body}, make([]byte, 16<<10))
				waitFor(t, func() bool { return r.cache.Stats().DiskWritten > 0 })
				began := time.Now()
				r.want(<-r.follows(), 200, body)
				took, all := time.Since(began), time.Duration(len(body)/rate)*time.Second
				if slow == "client" && took > all/3 {
					t.Errorf("it took %v, a client at that pace %v", took, all)
				}
				if n := r.requests.Load(); slow == "origin" && n != 1 {
					t.Errorf("%d requests", n)
				}
			})
		}
	}
}

// pace takes bytes at a rate; 0: any.
type pace struct{ rate int }

func (p *pace) Write(b []byte) (int, error) {
	if p.rate > 0 {
		time.Sleep(time.Duration(len(b)) * time.Second / time.Duration(p.rate))
	}
	return len(b), nil
}

// throttled is a ResponseWriter whose body goes out at a rate.
type throttled struct {
	http.ResponseWriter
	p *pace
}

func (w *throttled) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		var m int
		part := b[:min(len(b), 16<<10)]
		w.p.Write(part)
		m, err = w.ResponseWriter.Write(part)
		if w.p.rate > 0 {
			_ = http.NewResponseController(w.ResponseWriter).Flush()
		}
		n, b = n+m, b[m:]
	}
	return n, err
}

// TestFollowerOfChanged: what has changed since is not joined; the answer breaks off.
func TestFollowerOfChanged(t *testing.T) {
	const size = 3 << 20
	b, newer := content(size, 1), content(size, 2)
	for _, c := range []struct{ was, is served }{
		{served{age: time.Hour, ranges: true}, served{age: time.Hour - time.Second, ranges: true}},
		{served{age: time.Hour}, served{age: time.Hour - time.Second}},
		{served{tag: `"v1"`}, served{tag: `"v2"`}},
		{served{tag: `W/"v1"`, age: time.Hour}, served{tag: `W/"v2"`, age: time.Hour}},
		{served{tag: `W/"v1"`, age: time.Hour, ranges: true}, served{tag: `W/"v2"`, age: time.Hour, ranges: true}},
	} {
		t.Run(c.was.String()+" then "+c.is.String(), func(t *testing.T) {
			r, goOn := c.was.rig(t, b)
			leave := r.leads()
			follower := r.follows()
			r.serve(c.is.handler(r, newer, new(sync.WaitGroup)))
			leave()
			goOn()
			a := <-follower
			if a.err == nil || !bytes.HasPrefix(b, a.body) || len(a.body) == size {
				t.Errorf("%d bytes, %v", len(a.body), a.err)
			}
			r.want(r.get("/f"), 200, newer)
		})
	}
}

// TestNotFollowed: what may change twice within its date, or says nothing at all, is
// fetched for each client.
func TestNotFollowed(t *testing.T) {
	const size = 3 << 20
	b := content(size, 1)
	for _, s := range []served{{}, {age: 59 * time.Second, ranges: true}, {tag: `W/"v1"`, ranges: true}} {
		t.Run(s.String(), func(t *testing.T) {
			r, goOn := s.rig(t, b)
			defer r.leads()()
			r.want(<-r.follows(), 200, b) // while the other one stands still
			if n := r.requests.Load(); n != 2 {
				t.Errorf("%d requests", n)
			}
			goOn()
		})
	}
}
