package proxy_test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"dtpx/proxy"
)

// handy has answers at hand for paths below /hit.
type handy struct {
	roundTripper
	hit   func(r *http.Request, h http.Header) *http.Response
	asked *atomic.Int64
}

func (h handy) Hit(r *http.Request, to http.Header) *http.Response {
	h.asked.Add(1)
	if !strings.HasPrefix(r.URL.Path, "/hit") {
		return nil
	}
	return h.hit(r, to)
}

// TestAtHand: an answer at hand goes out as any other; what is not comes from the
// transport, and what a Hitter must not see it is not asked about.
func TestAtHand(t *testing.T) {
	var asked atomic.Int64
	reply := func(where string, r *http.Request) *http.Response {
		h := http.Header{"Connection": {"x"}, "X": {"hop"}, "Where": {where}, "Content-Length": {"5"}}
		return &http.Response{StatusCode: 203, Header: h, ContentLength: 5, Body: io.NopCloser(strings.NewReader("bytes")), Request: r}
	}
	eachScheme(t, func(t *testing.T, base string, h2 bool) {
		r := newRig(t, func(s *proxy.Server) {
			s.Transport = handy{
				roundTripper: func(r *http.Request) (*http.Response, error) { return reply("there", r), nil },
				hit: func(r *http.Request, h http.Header) *http.Response {
					if r.Header.Get("Proxy-Connection") != "" || !r.URL.IsAbs() {
						t.Errorf("asked for %v with %v", r.URL, r.Header)
					}
					resp := reply("hand", r)
					maps.Copy(h, resp.Header)
					resp.Header = h
					return resp
				},
				asked: &asked,
			}
		})
		for _, c := range []struct {
			method, path, body, where string
			asked                     int64
		}{
			{"GET", "/hit", "", "hand", 1}, {"HEAD", "/hit", "", "hand", 1}, {"GET", "/other", "", "there", 1},
			{"POST", "/hit", "x", "there", 0}, {"DELETE", "/hit", "", "there", 0}, {"GET", "/hit", "x", "there", 0},
		} {
			asked.Store(0)
			req, err := http.NewRequest(c.method, strings.TrimSuffix(base, "/")+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := r.client(h2).Do(req)
			got := body(t, resp, err)
			if want := map[bool]string{true: "", false: "bytes"}[c.method == "HEAD"]; got != want || resp.StatusCode != 203 || resp.ContentLength != 5 {
				t.Errorf("%s %s: %d %q, length %d", c.method, c.path, resp.StatusCode, got, resp.ContentLength)
			}
			if h := resp.Header; h.Get("Where") != c.where || h.Get("X") != "" || h.Get("Via") != proxy.Via || asked.Load() != c.asked {
				t.Errorf("%s %s: %v, asked %d times", c.method, c.path, h, asked.Load())
			}
		}
	})
}

// TestAtHandCut: one that breaks off does not look whole.
func TestAtHandCut(t *testing.T) {
	eachScheme(t, func(t *testing.T, base string, h2 bool) {
		r := newRig(t, func(s *proxy.Server) {
			s.Transport = handy{
				roundTripper: func(*http.Request) (*http.Response, error) { return nil, errors.New("not this way") },
				hit: func(r *http.Request, h http.Header) *http.Response {
					return &http.Response{StatusCode: 200, Header: h, ContentLength: 100, Body: cutBody(50, io.ErrUnexpectedEOF), Request: r}
				},
				asked: new(atomic.Int64),
			}
		})
		resp, err := r.client(h2).Get(strings.TrimSuffix(base, "/") + "/hit")
		if err != nil {
			return
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%d bytes and a clean end", len(b))
		}
	})
}
