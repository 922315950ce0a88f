package proxy_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/elazarl/goproxy"

	"dtpx/proxy"
)

// BenchmarkTransfer compares the ways of one large body. "bare" is goproxy as
// its README shows it.
func BenchmarkTransfer(b *testing.B) {
	const size = 256 << 20
	block := make([]byte, 256<<10)
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "268435456")
		for range size / len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	origin.Start()
	defer origin.Close()
	secure := httptest.NewUnstartedServer(origin.Config.Handler)
	secure.TLS = oneCert(originCA.leaf("127.0.0.1", time.Now().Add(time.Hour)))
	secure.StartTLS()
	defer secure.Close()

	ours := &proxy.Server{
		TLS: proxyCA.config, Intercept: proxy.Intercept{Enabled: true},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: originCA.pool()}, DisableCompression: true},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go ours.Serve(l)
	defer ours.Shutdown(b.Context())
	passing := &proxy.Server{}
	l2, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go passing.Serve(l2)
	defer passing.Shutdown(b.Context())
	plain := goproxy.NewProxyHttpServer()
	plain.Tr = &http.Transport{}
	plain.ConnectDial = nil
	bare := httptest.NewServer(plain)
	defer bare.Close()

	for _, tt := range []struct {
		name, proxy, url string
		h2               bool
	}{
		{"http/direct", "", origin.URL, false},
		{"http/bare", bare.URL, origin.URL, false},
		{"http/dtpx", "http://" + l.Addr().String(), origin.URL, false},
		{"https/direct", "", secure.URL, false},
		{"https/bare-tunnel", bare.URL, secure.URL, false},
		{"https/dtpx-tunnel", "http://" + l2.Addr().String(), secure.URL, false},
		{"https/dtpx-h1", "http://" + l.Addr().String(), secure.URL, false},
		{"https/dtpx-h2", "http://" + l.Addr().String(), secure.URL, true},
	} {
		b.Run(tt.name, func(b *testing.B) {
			roots := proxyCA.pool()
			roots.AddCert(originCA.cert)
			tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: tt.h2, DisableCompression: true}
			if tt.proxy != "" {
				u, err := url.Parse(tt.proxy)
				must(err)
				tr.Proxy = http.ProxyURL(u)
			}
			defer tr.CloseIdleConnections()
			c := &http.Client{Transport: tr}
			b.SetBytes(size)
			for b.Loop() {
				resp, err := c.Get(tt.url)
				must(err)
				n, err := io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if n != size || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}
