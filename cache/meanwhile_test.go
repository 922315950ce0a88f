package cache

import (
	"net/http"
	"testing"
	"time"
)

// TestUnsafeBeforeTheAnswer: an answer that was asked for before a write, and comes
// after it, may be from before it: neither it nor what a 304 confirms is served on
// (RFC 9111 §4.4).
func TestUnsafeBeforeTheAnswer(t *testing.T) {
	for name, size := range sizes {
		for _, had := range []string{"nothing", "stale", "stale, in memory only"} {
			t.Run(name+", had "+had, func(t *testing.T) {
				older, newer := content(size, 1), content(5001, 2)
				r := newRig(t, file(older, `"v1"`, "Cache-Control", fresh))
				if had != "nothing" {
					r.want(r.get("/f"), 200, older)
					r.later(2 * time.Hour)
				}
				for _, i := range r.infos() {
					if had == "stale, in memory only" {
						r.cache.store.Remove(i.ID)
					}
				}
				asked, gate := make(chan bool), make(chan bool)
				r.serve(func(w http.ResponseWriter, q *http.Request) {
					if q.Method == "PUT" {
						w.WriteHeader(204)
						return
					}
					select {
					case asked <- true:
						<-gate
					case <-gate: // for what the engine asks besides
					}
					file(older, `"v1"`, "Cache-Control", fresh)(w, q)
				})
				first := make(chan answer, 1)
				go func() { first <- r.get("/f") }()
				<-asked
				r.do("PUT", "/f")
				close(gate)
				r.want(<-first, 200, older)
				r.renewed(newer)
			})
		}
	}
}

// TestValidatedWithoutTheClient: what is asked behind the clients' backs is asked for
// nobody, as the one whose request it was may have left.
func TestValidatedWithoutTheClient(t *testing.T) {
	older, newer := content(5000, 1), content(5001, 2)
	const cc = "public, max-age=10, stale-while-revalidate=100"
	for _, field := range []string{"Cookie", "Authorization", "X-Api-Key"} {
		r := newRig(t, file(older, `"v1"`, "Cache-Control", cc))
		r.want(r.get("/f"), 200, older)
		r.later(30 * time.Second)
		asked := make(chan http.Header, 10)
		r.serve(func(w http.ResponseWriter, q *http.Request) {
			asked <- q.Header
			file(newer, `"v2"`, "Cache-Control", cc)(w, q)
		})
		r.want(r.get("/f", field, "secret", "X-Other", "1"), 200, older)
		if h := <-asked; h.Get(field) != "" || h.Get("X-Other") != "1" {
			t.Errorf("%s: %v", field, h)
		}
		waitFor(t, func() bool { return !r.cache.busy() })
		r.want(r.get("/f", field, "secret"), 200, newer)
	}
}
