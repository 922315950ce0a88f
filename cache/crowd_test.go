package cache

import (
	"bytes"
	"net/http"
	"strconv"
	"sync"
	"testing"
)

// TestManyAtOnceWithoutStrongTag: a small answer is fetched once for all who ask at
// once, whatever its validator, and if its length is not told, too: what is fresh
// may be the answer to all of them (RFC 9111 §4).
func TestManyAtOnceWithoutStrongTag(t *testing.T) {
	const size = 100 << 10
	b := content(size, 1)
	for _, tag := range []string{"", `W/"v1"`, `"v1"`} {
		for _, told := range []bool{true, false} {
			t.Run(tag+" "+strconv.FormatBool(told), func(t *testing.T) {
				gate := make(chan bool)
				r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
					if w.Header().Set("Cache-Control", fresh); tag != "" {
						w.Header().Set("Etag", tag)
					}
					if told {
						w.Header().Set("Content-Length", strconv.Itoa(size))
					}
					w.Write(b[:size/2])
					w.(interface{ Unwrap() http.ResponseWriter }).Unwrap().(http.Flusher).Flush()
					<-gate
					w.Write(b[size/2:])
				})
				var wg sync.WaitGroup
				for range 20 {
					wg.Go(func() {
						if a := r.get("/f"); a.err != nil || a.StatusCode != 200 || !bytes.Equal(a.body, b) {
							t.Errorf("status %d, %d bytes, %v", a.StatusCode, len(a.body), a.err)
						}
					})
				}
				waitFor(t, func() bool { return r.requests.Load() > 0 && r.body.Load() > 0 })
				close(gate)
				wg.Wait()
				r.cost(1, size)
			})
		}
	}
}

// TestNobodyWaitsForAStream: a body that goes on and on, of which nobody knows how long
// it will be, keeps others waiting once.
func TestNobodyWaitsForAStream(t *testing.T) {
	b := content(1000, 1)
	gate := make(chan bool)
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Cache-Control", fresh)
		w.Write(b[:500])
		w.(interface{ Unwrap() http.ResponseWriter }).Unwrap().(http.Flusher).Flush()
		if q.Header.Get("X-Slow") != "" {
			<-gate
		}
		w.Write(b[500:])
	})
	first := make(chan answer, 1)
	go func() { first <- r.get("/f", "X-Slow", "1") }()
	waitFor(t, func() bool { return r.body.Load() == 500 })
	r.want(r.get("/f", "Cache-Control", "max-age=0"), 200, b)
	r.cache.Purge()
	r.soon("/f", b)
	close(gate)
	r.want(<-first, 200, b)
}

// TestNobodyWaitsForMuch: those who ask for what turns out to be long do not wait for the
// end of it.
func TestNobodyWaitsForMuch(t *testing.T) {
	const size = smallMax + 1
	b := content(size, 1)
	gate := make(chan bool)
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Cache-Control", fresh)
		w.Write(b)
		w.(interface{ Unwrap() http.ResponseWriter }).Unwrap().(http.Flusher).Flush()
		if q.Header.Get("X-Slow") != "" {
			<-gate
		}
	})
	first := make(chan answer, 1)
	go func() { first <- r.get("/f", "X-Slow", "1") }()
	waitFor(t, func() bool { return r.body.Load() == size })
	waitFor(t, func() bool { return r.cache.gathered.Load() > 0 })
	r.soon("/f", b)
	close(gate)
	r.want(<-first, 200, b)
}
