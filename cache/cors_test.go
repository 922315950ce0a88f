package cache

import (
	"net/http"
	"testing"
)

// TestOrigin: a page gets the answer that its own site is allowed to read, where the
// server forgets to say "Vary: Origin", as many do: not one that was made for another
// site, or for a program that has no Origin.
func TestOrigin(t *testing.T) {
	const allow = "Access-Control-Allow-Origin"
	for name, size := range sizes {
		if size == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			b := content(size, 1)
			r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
				if at := q.Header.Get("Origin"); at != "" && at != "https://evil" {
					w.Header().Set(allow, at)
				}
				file(b, `"v1"`, "Cache-Control", "public, max-age=3600")(w, q)
			})
			for _, site := range []string{"", "https://a", "https://evil", "https://b", "", "https://a"} {
				var fields []string
				if site != "" {
					fields = []string{"Origin", site}
				}
				for range 2 {
					a := r.get("/f", fields...)
					r.want(a, 200, b)
					if got := a.Header.Get(allow); site == "https://evil" && got == site || site != "https://evil" && site != "" && got != site {
						t.Errorf("%s may be read by %q", site, got)
					}
				}
			}
			if n := r.body.Load(); n > int64(size) && size < 4<<20 {
				t.Errorf("the origin sent %d bytes of %d", n, size)
			}
			r.requests.Store(0)
			r.body.Store(0)
			r.want(r.get("/f"), 200, b)
			r.want(r.get("/f", "Origin", "https://a"), 200, b)
			r.cost(0, 0)
		})
	}
}
