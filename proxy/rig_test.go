package proxy_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"dtpx/proxy"
)

// patience is how long a test waits for what must happen at once.
const patience = 10 * time.Second

// authority is a CA for tests: the proxy's, the origins', and bad ones.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	mu   sync.Mutex
	made map[string]*tls.Certificate
}

func newAuthority(name string) *authority {
	a := &authority{key: newKey(), made: map[string]*tls.Certificate{}}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, a.key.Public(), a.key)
	must(err)
	a.cert, err = x509.ParseCertificate(der)
	must(err)
	return a
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	return key
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// leaf mints a certificate for host, ending when told to.
func (a *authority) leaf(host string, until time.Time) *tls.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.made[host]; c != nil {
		return c
	}
	key := newKey()
	t := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until, DNSNames: []string{host},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		t.DNSNames, t.IPAddresses = nil, []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	must(err)
	a.made[host] = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return a.made[host]
}

// config serves any host.
func (a *authority) config(host string) *tls.Config {
	return &tls.Config{
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			name := cmp.Or(h.ServerName, host)
			return a.leaf(name, time.Now().Add(time.Hour)), nil
		},
	}
}

var (
	proxyCA  = newAuthority("proxy-ca.test")
	originCA = newAuthority("origin-ca.test")
)

// rig is a proxy on a loopback port with a network of names behind it.
type rig struct {
	t      *testing.T
	server *proxy.Server
	addr   string

	mu    sync.Mutex
	names map[string]string // host:port to real address; guarded by mu
	dials []string          // guarded by mu
}

// newRig starts a proxy that intercepts everything, changed by the options.
func newRig(t *testing.T, options ...func(*proxy.Server)) *rig {
	t.Helper()
	r := &rig{t: t, names: map[string]string{}}
	r.server = &proxy.Server{
		Dial: r.dial, TLS: proxyCA.config,
		Intercept: proxy.Intercept{Enabled: true, Learn: true},
		Allow:     []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		Log:       slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	transport := &http.Transport{
		DialContext: r.dial, TLSClientConfig: &tls.Config{RootCAs: originCA.pool()}, DisableCompression: true,
		ForceAttemptHTTP2: true, ExpectContinueTimeout: patience, TLSHandshakeTimeout: patience,
	}
	h1 := &http.Transport{DialContext: r.dial, TLSClientConfig: &tls.Config{RootCAs: originCA.pool()}}
	r.server.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
		if req.Header.Get("Upgrade") != "" {
			return h1.RoundTrip(req)
		}
		return transport.RoundTrip(req)
	})
	for _, o := range options {
		o(r.server)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	r.addr = l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- r.server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := r.server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != http.ErrServerClosed {
			t.Errorf("serve: %v", err)
		}
		transport.CloseIdleConnections()
		h1.CloseIdleConnections()
	})
	return r
}

// testLog writes to the test's own log, as long as there is one.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// dial is the network: names lead to servers, all else is not there.
func (r *rig) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	r.mu.Lock()
	r.dials = append(r.dials, addr)
	real, ok := r.names[addr]
	r.mu.Unlock()
	if !ok {
		if host, _, _ := net.SplitHostPort(addr); net.ParseIP(host) == nil {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		real = addr
	}
	return new(net.Dialer).DialContext(ctx, network, real)
}

func (r *rig) name(hostport, real string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names[hostport] = real
}

func (r *rig) dialled() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.dials)
}

// origin serves h as http://origin.test and https://origin.test (h1 and h2).
func (r *rig) origin(h http.HandlerFunc) {
	plain := httptest.NewServer(h)
	secure := httptest.NewUnstartedServer(h)
	secure.EnableHTTP2 = true
	secure.TLS = originCA.config("origin.test")
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	secure.StartTLS()
	r.t.Cleanup(func() { plain.Close(); secure.Close() })
	r.name("origin.test:80", plain.Listener.Addr().String())
	r.name("origin.test:443", secure.Listener.Addr().String())
}

// tcp serves raw connections under a name.
func (r *rig) tcp(hostport string, serve func(net.Conn)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { defer c.Close(); serve(c) })
		}
	})
	r.t.Cleanup(func() { l.Close(); conns.Wait() })
	r.name(hostport, l.Addr().String())
}

// client goes through the proxy, trusting it; h2 inside TLS if asked for.
func (r *rig) client(h2 bool) *http.Client {
	t := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: r.addr}),
		TLSClientConfig: &tls.Config{RootCAs: proxyCA.pool()}, DisableCompression: true,
		ForceAttemptHTTP2: h2, ExpectContinueTimeout: patience,
	}
	r.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// connect opens a raw connection to the proxy.
func (r *rig) connect() *wire {
	c, err := net.Dial("tcp", r.addr)
	must(err)
	must(c.SetDeadline(time.Now().Add(patience)))
	r.t.Cleanup(func() { c.Close() })
	return &wire{Conn: c, r: bufio.NewReader(c)}
}

// tunnel sends CONNECT and whatever comes behind it in one packet.
func (r *rig) tunnel(host, behind string) *wire {
	w := r.connect()
	w.send("CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n" + behind)
	resp, err := http.ReadResponse(w.r, &http.Request{Method: "CONNECT"})
	must(err)
	if resp.StatusCode != 200 {
		r.t.Fatalf("CONNECT %s: %s", host, resp.Status)
	}
	return w
}

// secure opens an intercepted connection that speaks HTTP/1.x by hand.
func (r *rig) secure(host string) *wire {
	w := r.tunnel(host+":443", "")
	c := tls.Client(w.Conn, &tls.Config{RootCAs: proxyCA.pool(), ServerName: host})
	must(c.Handshake())
	return &wire{Conn: c, r: bufio.NewReader(c)}
}

// wire is a connection on which tests speak by hand.
type wire struct {
	net.Conn
	r *bufio.Reader
}

func (w *wire) Read(p []byte) (int, error) { return w.r.Read(p) }

func (w *wire) send(s string) {
	_, err := io.WriteString(w.Conn, s)
	must(err)
}

func (w *wire) line() string {
	s, err := w.r.ReadString('\n')
	must(err)
	return strings.TrimSpace(s)
}

func (w *wire) response(method string) *http.Response {
	resp, err := http.ReadResponse(w.r, &http.Request{Method: method})
	must(err)
	return resp
}

func body(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
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

// await fails the test when ch stays silent.
func await[T any](t *testing.T, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("no %s after %v", what, patience)
	}
	return v
}

// eachScheme runs a test over http, intercepted HTTP/1.1 and intercepted h2.
func eachScheme(t *testing.T, test func(t *testing.T, base string, h2 bool)) {
	t.Run("http", func(t *testing.T) { test(t, "http://origin.test", false) })
	t.Run("https h1", func(t *testing.T) { test(t, "https://origin.test", false) })
	t.Run("https h2", func(t *testing.T) { test(t, "https://origin.test", true) })
}

// metric reads one counter.
func metric(r *rig, name string) (n int) {
	for line := range strings.SplitSeq(body(r.t, r.ask("GET", "/metrics", r.addr), nil), "\n") {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			fmt.Sscan(v, &n)
		}
	}
	return n
}
