package ranges_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"dtpx/internal/testbed"
	ranges "dtpx/range"
)

// mem is an origin, an engine and clients on a network in memory, for use in a
// synctest bubble: time is fake, and a goroutine left behind fails the test.
type mem struct {
	t      *testing.T
	net    *testbed.MemNet
	link   *testbed.Link
	origin *testbed.Origin
	engine *ranges.Engine
	client *http.Client
}

var testCA = sync.OnceValue(func() *testbed.CA {
	ca, err := testbed.NewCA()
	if err != nil {
		panic(err)
	}
	return ca
})

// newMem starts an origin at 192.0.2.1; e may be nil.
func newMem(t *testing.T, cfg testbed.Config, shape testbed.Shape, e *ranges.Engine) *mem {
	t.Helper()
	m := &mem{t: t, net: testbed.NewMemNet(), engine: e}
	m.link = m.net.Link("", "").Set(shape)
	cfg.CA, cfg.Hosts, cfg.ListenFunc = testCA(), append(cfg.Hosts, "192.0.2.1"), m.net.Listen
	if cfg.Listen == "" {
		cfg.Listen = "192.0.2.1:80"
	}
	if cfg.TLSListen == "" {
		cfg.TLSListen = "192.0.2.1:443"
	}
	var err error
	if m.origin, err = testbed.New(cfg); err != nil {
		t.Fatal(err)
	}
	if m.engine == nil {
		m.engine = &ranges.Engine{MinSize: 64 << 10}
	}
	t.Cleanup(func() {
		m.engine.Close()
		m.origin.Close()
	})
	m.client = m.newClient("")
	return m
}

// newClient is a client of the same engine in a realm.
func (m *mem) newClient(realm string) *http.Client {
	base := &http.Transport{
		DialContext: m.net.Dial, DisableCompression: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: m.origin.CA.Pool()},
	}
	m.t.Cleanup(base.CloseIdleConnections)
	return &http.Client{Transport: &ranges.Transport{Base: base, Engine: m.engine, Realm: realm}}
}

// request makes a GET; field and value pairs follow the URL.
func (m *mem) request(url string, header ...string) *http.Request {
	m.t.Helper()
	req, err := http.NewRequestWithContext(m.t.Context(), "GET", url, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

// get sends a GET whose body is closed at the end of the test.
func (m *mem) get(url string, header ...string) *http.Response {
	m.t.Helper()
	return m.do(m.client, m.request(url, header...))
}

func (m *mem) do(c *http.Client, req *http.Request) *http.Response {
	m.t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// whole reads the body to its end, compares it and closes it.
func (m *mem) whole(url string, resp *http.Response) {
	m.t.Helper()
	c := m.origin.Content(url)
	m.part(url, resp, 0, c.Size)
}

// part is whole for the n bytes at off.
func (m *mem) part(url string, resp *http.Response, off, n int64) {
	m.t.Helper()
	if err := m.origin.Content(url).VerifyRange(resp.Body, off, n); err != nil {
		m.t.Errorf("%s: %v\n%v", url, err, m.engine.Plans())
	}
	resp.Body.Close()
}

// some reads n bytes of the body.
func (m *mem) some(resp *http.Response, n int64) {
	m.t.Helper()
	if _, err := io.CopyN(io.Discard, resp.Body, n); err != nil {
		m.t.Fatal(err)
	}
}

// last is the newest download.
func (m *mem) last() ranges.Info {
	m.t.Helper()
	all := m.engine.Downloads()
	if len(all) == 0 {
		m.t.Fatal("no download")
	}
	return all[0]
}

// as makes requests on behalf of a named client.
func as(req *http.Request, name string) *http.Request {
	return req.WithContext(ranges.WithClient(req.Context(), ranges.Client{Name: name}))
}

// within fails if more fake time than d has passed since began.
func within(t *testing.T, what string, began time.Time, d time.Duration) {
	t.Helper()
	if took := time.Since(began); took > d {
		t.Errorf("%s: took %v, want at most %v", what, took, d)
	}
}

func withTimeout(req *http.Request, d time.Duration) (*http.Request, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(req.Context(), d)
	return req.WithContext(ctx), cancel
}
