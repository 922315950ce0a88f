package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"dtpx/cache"
	"dtpx/cmd/dtpx/internal/config"
	"dtpx/internal/traffic"
	"dtpx/proxy"
	ranges "dtpx/range"
)

// TestWriteEndsWhatIsStored by whatever way it goes: who is left alone himself has
// changed the resource for all (RFC 9111 §4.4).
func TestWriteEndsWhatIsStored(t *testing.T) {
	for _, c := range []struct {
		name, method string
		fields       []string
		ends         bool
	}{
		{"a write", "PUT", nil, true},
		{"left alone", "PUT", []string{proxy.BypassField, "1"}, true},
		{"left alone, no standard", "FROB", []string{proxy.BypassField, "1"}, true},
		{"would rather speak otherwise", "POST", []string{"Connection", "Upgrade", "Upgrade", "x"}, true},
		{"a read, left alone", "GET", []string{proxy.BypassField, "1"}, false},
		{"safe, left alone", "OPTIONS", []string{proxy.BypassField, "1"}, false},
		{"a read that would speak otherwise", "GET", []string{"Connection", "Upgrade", "Upgrade", "x"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int64
			var version atomic.Value
			version.Store("1")
			origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				if asked.Add(1); q.Header.Get(proxy.BypassField) != "" {
					t.Error("the origin is told")
				}
				w.Header().Set("Cache-Control", "max-age=600")
				io.WriteString(w, version.Load().(string))
			}))
			defer origin.Close()
			r := newTestRouter(t, config.Config{})
			if got := ask(t, r, "GET", origin.URL); got != "1" {
				t.Fatalf("%q", got)
			}
			version.Store("2")
			ask(t, r, c.method, origin.URL, c.fields...)
			if got := ask(t, r, "GET", origin.URL); (got == "2") != c.ends || asked.Load() < 2 {
				t.Errorf("%q after %d requests", got, asked.Load())
			}
		})
	}
}

// newTestRouter is a node's way to origins.
func newTestRouter(t *testing.T, cfg config.Config) *router {
	t.Helper()
	c, err := cache.Open(cache.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	e := &ranges.Engine{}
	out, err := newOutbound(cfg, "")
	if err != nil {
		t.Fatal(err)
	}
	r := newRouter(out, e, c, &proxy.Guard{}, &traffic.Meter{})
	t.Cleanup(func() {
		r.close()
		e.Close()
		c.Close()
	})
	return r
}

func ask(t *testing.T, r *router, method, url string, fields ...string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := r.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
