package cache

import (
	"io"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"dtpx/internal/testbed"
	ranges "dtpx/range"
)

// TestSeek: who jumps ahead in a film that is being fetched, by himself or by
// somebody else, does not wait for that to come there, nor for a download that
// only lingers.
func TestSeek(t *testing.T) {
	for _, c := range []struct {
		name  string
		stays bool // the first reader
		to    string
	}{
		{"somebody else is far behind", true, "bytes=134217728-"},
		{"one's own download lingers far behind", false, "bytes=134217728-"},
		{"one's own download lingers near", false, "bytes=71303168-"}, // 68 MiB, the window is 64
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				net := testbed.NewMemNet()
				net.Link("", "").Set(testbed.Shape{Delay: 5 * time.Millisecond})
				origin, err := testbed.New(testbed.Config{Listen: "192.0.2.1:80", TLSListen: "off", ListenFunc: net.Listen, Limits: testbed.Limits{PerConn: 1 << 20}})
				if err != nil {
					t.Fatal(err)
				}
				defer origin.Close()
				store, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				engine := &ranges.Engine{}
				base := &http.Transport{DialContext: net.Dial, DisableCompression: true}
				defer func() {
					engine.Close()
					base.CloseIdleConnections()
					if err := store.Close(); err != nil {
						t.Error(err)
					}
				}()
				way := &Transport{Cache: store, Next: &ranges.Transport{Base: base, Engine: engine}}
				play := func(from string, n int64) io.ReadCloser {
					req, _ := http.NewRequestWithContext(t.Context(), "GET", origin.HTTP+"/256MiB/film.mp4", nil)
					req.Header.Set("Range", from)
					resp, err := way.RoundTrip(req)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.CopyN(io.Discard, resp.Body, n); err != nil {
						t.Fatal(err)
					}
					return resp.Body
				}
				first := play("bytes=0-", 4<<20)
				if !c.stays {
					first.Close()
				}
				began := time.Now()
				second := play(c.to, 1)
				if d := time.Since(began); d > 500*time.Millisecond {
					t.Errorf("the first byte came after %v", d)
				}
				second.Close()
				first.Close()
			})
		})
	}
}
