package main

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"dtpx/cmd/dtpx/internal/config"
)

// TestContentHasItsOwnConnections over HTTP/1.1; over HTTP/2, once that is known, there
// is nothing to confuse and no connection is made.
func TestContentHasItsOwnConnections(t *testing.T) {
	for _, h2 := range []bool{true, false} {
		var conns atomic.Int64
		origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			_, _ = io.Copy(w, q.Body)
		}))
		origin.EnableHTTP2 = h2
		origin.Config.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				conns.Add(1)
			}
		}
		origin.StartTLS()
		defer origin.Close()
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: origin.Certificate().Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		r := newTestRouter(t, config.Config{UpstreamCA: ca})
		ask(t, r, "GET", origin.URL)
		for range 2 {
			req, err := http.NewRequestWithContext(t.Context(), "POST", origin.URL, strings.NewReader("content"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := r.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			if resp.Body.Close(); err != nil || string(b) != "content" {
				t.Errorf("%q %v", b, err)
			}
		}
		ask(t, r, "GET", origin.URL)
		if n, want := conns.Load(), map[bool]int64{true: 1, false: 2}[h2]; n != want {
			t.Errorf("h2 %v: %d connections, want %d", h2, n, want)
		}
	}
}
