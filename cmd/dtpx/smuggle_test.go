package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dtpx/certs"
	"dtpx/cmd/dtpx/internal/config"
	"dtpx/proxy"
)

// house is a node in front of an origin that speaks HTTP/1.1 by hand.
type house struct {
	t        *testing.T
	proxy    string
	origin   string // host:port
	scheme   string
	trusting *tls.Config // of the node's clients
}

// newHouse has an origin whose connections serve answers.
func newHouse(t *testing.T, scheme string, serve func(net.Conn)) *house {
	t.Helper()
	dir := t.TempDir()
	authority := func(name string) (*certs.Authority, *x509.CertPool) {
		at := filepath.Join(dir, name)
		a, _, err := certs.LoadOrCreate(at, nil, nil)
		pool := x509.NewCertPool()
		if err != nil || !pool.AppendCertsFromPEM(a.PEM()) {
			t.Fatal(err)
		}
		return a, pool
	}
	ca, roots := authority("ca")
	site, _ := authority("site")
	l := free(t)
	h := &house{t: t, scheme: scheme, origin: l.Addr().String(), trusting: &tls.Config{RootCAs: roots}}
	if scheme == "https" {
		c := site.ServerConfig("127.0.0.1")
		c.NextProtos = []string{"http/1.1"}
		l = tls.NewListener(l, c)
	}
	over, end := context.WithCancel(context.Background())
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(over, func() { c.Close() })
			conns.Go(func() { defer c.Close(); defer stop(); serve(c) })
		}
	})
	pem := filepath.Join(dir, "site.pem")
	if err := os.WriteFile(pem, site.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newTestRouter(t, config.Config{UpstreamCA: pem})
	s := &proxy.Server{Transport: r, Dial: r.Dial, TLS: ca.ServerConfig, Intercept: proxy.Intercept{Enabled: true}, Guard: r.guard}
	port := free(t)
	h.proxy = port.Addr().String()
	var served sync.WaitGroup
	served.Go(func() { s.Serve(port) })
	t.Cleanup(func() {
		l.Close()
		end() // what a request waits for that is never complete
		conns.Wait()
		_ = s.Shutdown(context.Background())
		served.Wait()
	})
	return h
}

func free(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// send sends a request as it stands and returns the connection, on which at least one
// answer has come, or its end. AT becomes what a request line has before the path.
func (h *house) send(method, raw string) {
	h.t.Helper()
	c, err := net.Dial("tcp", h.proxy)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	at := "http://" + h.origin
	if h.scheme == "https" {
		at = ""
		fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", h.origin)
		if _, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: "CONNECT"}); err != nil {
			h.t.Fatal(err)
		}
		conf := h.trusting.Clone()
		conf.ServerName = "127.0.0.1"
		c = tls.Client(c, conf)
	}
	go io.WriteString(c, strings.NewReplacer("AT", at, "HOST", h.origin).Replace(raw)) // it may not be read to its end
	if resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method}); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
	}
}

// client is another user of the node.
func (h *house) client() *http.Client {
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: h.proxy}), TLSClientConfig: h.trusting.Clone()}
	h.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 5 * time.Second}
}

// echo answers the request line and the Host of a request, for all to keep.
func echo(c net.Conn, method, path, host string) {
	text := path + " of " + host
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: %d\r\n\r\n", len(text))
	if method != "HEAD" {
		io.WriteString(c, text)
	}
}

// reads is an origin that takes requests for what they are.
func reads(c net.Conn) {
	for in := bufio.NewReader(c); ; {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		echo(c, req.Method, req.URL.Path, req.Host)
	}
}

// careless is one that does not know of content, and looks for the next request in it.
func careless(c net.Conn) {
	in := bufio.NewScanner(c)
	var method, path, host string
	for in.Scan() {
		line := in.Text()
		words := strings.Fields(line)
		name, value, _ := strings.Cut(line, ":")
		switch {
		case path == "" && len(words) == 3 && strings.HasPrefix(words[2], "HTTP/"):
			method, path = words[0], words[1]
		case line == "" && path != "":
			echo(c, method, path, host)
			method, path, host = "", "", ""
		case strings.EqualFold(name, "Host"):
			host = strings.TrimSpace(value)
		}
	}
}

// hidden is the beginning of another request, which whatever follows it completes.
const hidden = "GET /evil HTTP/1.1\r\nX-Rest: "

// smuggled are requests that two readers could understand differently.
var smuggled = map[string]struct{ method, raw string }{
	"content of GET":      {"GET", "GET AT/a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 28\r\n\r\n" + hidden},
	"content of HEAD":     {"HEAD", "HEAD AT/a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 28\r\n\r\n" + hidden},
	"content of POST":     {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 28\r\n\r\n" + hidden},
	"content of OPTIONS":  {"OPTIONS", "OPTIONS AT/a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 28\r\n\r\n" + hidden},
	"content of FROB":     {"FROB", "FROB AT/a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 28\r\n\r\n" + hidden},
	"content, left alone": {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nDtpx-Bypass: 1\r\nContent-Length: 28\r\n\r\n" + hidden},
	"content and Upgrade": {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 28\r\n\r\n" + hidden},
	"content and Expect":  {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nExpect: 100-continue\r\nContent-Length: 28\r\n\r\n" + hidden},
	"chunked POST":        {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n1c\r\n" + hidden + "\r\n0\r\n\r\n"},
	"chunked GET":         {"GET", "GET AT/a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n1c\r\n" + hidden + "\r\n0\r\n\r\n"},
	"both lengths":        {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 33\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden},
	"two lengths":         {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\nContent-Length: 28\r\n\r\n" + hidden},
	"two lengths in one":  {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0, 28\r\n\r\n" + hidden},
	"a length with sign":  {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nContent-Length: +28\r\n\r\n" + hidden},
	"xchunked":            {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 33\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden},
	"chunked and none":    {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 33\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden},
	"space before colon":  {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\nTransfer-Encoding : chunked\r\n\r\n1c\r\n" + hidden + "\r\n0\r\n\r\n"},
	"folded":              {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nX: a\r\n Content-Length: 28\r\nContent-Length: 0\r\n\r\n" + hidden},
	"folded coding":       {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 33\r\n\r\n0\r\n\r\n" + hidden},
	"bare LF":             {"GET", "GET AT/a HTTP/1.1\r\nHost: HOST\r\nX: a\n\n" + hidden + "\r\n\r\n"},
	"bare CR":             {"GET", "GET AT/a HTTP/1.1\r\nHost: HOST\r\nX: a\r\r" + hidden + "\r\n\r\n"},
	"chunk extension":     {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\n21\r\n0\r\n\r\n" + hidden + "\r\n0\r\n\r\n"},
	"chunk without CRLF":  {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n" + hidden},
	"trailer":             {"POST", "POST AT/a HTTP/1.1\r\nHost: HOST\r\nTrailer: Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 28\r\n\r\n" + hidden},
	"HTTP/1.0 chunked":    {"POST", "POST AT/a HTTP/1.0\r\nHost: HOST\r\nConnection: keep-alive\r\nContent-Length: 33\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden},
	"another Host":        {"GET", "GET AT/victim HTTP/1.1\r\nHost: evil.example\r\n\r\n"},
	"two Hosts":           {"GET", "GET AT/victim HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\n\r\n"},
	"Host is no longer":   {"GET", "GET AT/victim HTTP/1.1\r\nHost: evil.example\r\nConnection: Host\r\n\r\n"},
	"spaces in the line":  {"GET", "GET AT/victim HTTP/1.1 AT/evil HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	"a tab in the line":   {"GET", "GET\tAT/evil\tHTTP/1.1 AT/victim HTTP/1.1\r\nHost: HOST\r\n\r\n"},
}

// TestSmuggled: what hides in one client's request is not the answer to another one's,
// and is not kept for that: whatever the origin makes of it.
func TestSmuggled(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for dialect, serve := range map[string]func(net.Conn){"reads": reads, "careless": careless} {
			for name, c := range smuggled {
				t.Run(scheme+" "+dialect+" "+name, func(t *testing.T) {
					h := newHouse(t, scheme, serve)
					h.send(c.method, c.raw)
					client := h.client()
					for _, path := range []string{"/victim", "/next", "/victim", "/evil", "/a"} {
						resp, err := client.Get(h.scheme + "://" + h.origin + path)
						if err != nil {
							t.Fatal(err)
						}
						b, err := io.ReadAll(resp.Body)
						resp.Body.Close()
						if want := path + " of " + h.origin; err != nil || string(b) != want {
							t.Errorf("%q for %q, %v", b, want, err)
						}
					}
				})
			}
		}
	}
}
