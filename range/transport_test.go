package ranges_test

import (
	"crypto/tls"
	"net/http"
	"testing"

	"dtpx/internal/testbed"
	ranges "dtpx/range"
)

// bed is an origin and a client whose transport is the engine under test.
type bed struct {
	t      *testing.T
	origin *testbed.Origin
	engine *ranges.Engine
	client *http.Client
}

func newBed(t *testing.T, cfg testbed.Config) *bed {
	t.Helper()
	o, err := testbed.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, origin: o, engine: &ranges.Engine{MinSize: 256 << 10}}
	b.client = b.newClient("")
	t.Cleanup(func() {
		b.engine.Close()
		o.Close()
	})
	return b
}

// newClient is another user of the same engine.
func (b *bed) newClient(realm string) *http.Client {
	base := &http.Transport{
		TLSClientConfig:    &tls.Config{RootCAs: b.origin.CA.Pool()},
		DisableCompression: true,
		ForceAttemptHTTP2:  true,
	}
	b.t.Cleanup(base.CloseIdleConnections)
	return &http.Client{Transport: &ranges.Transport{Base: base, Engine: b.engine, Realm: realm}}
}

func (b *bed) get(url string, header ...string) *http.Response {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), "GET", url, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// verify reads the whole body and compares it with the origin's content.
func (b *bed) verify(url string, resp *http.Response) {
	b.t.Helper()
	if err := b.origin.Content(url).Verify(resp.Body); err != nil {
		b.t.Errorf("%s: %v", url, err)
	}
	resp.Body.Close()
}

func TestThrottledConnections(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			b := newBed(t, testbed.Config{Limits: testbed.Limits{PerConn: 2 << 20, MaxConns: 16}})
			base := b.origin.HTTP
			if scheme == "https" {
				base = b.origin.HTTPS
			}
			url := testbed.URL(base, "32MiB/file.bin")
			resp := b.get(url)
			b.verify(url, resp)
			d := b.engine.Downloads()[0]
			if len(d.Sources) == 0 || d.Sources[0].Requests < 8 {
				t.Errorf("not split: %+v", d)
			}
		})
	}
}
