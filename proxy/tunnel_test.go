package proxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"dtpx/proxy"
)

func echo(c net.Conn) { io.Copy(c, c) }

func tunnelOnly(s *proxy.Server) { s.Intercept.Enabled = false }

// half sends s, ends its side, and reads what comes back.
func (w *wire) half(s string) string {
	w.send(s)
	must(w.Conn.(*net.TCPConn).CloseWrite())
	b, err := io.ReadAll(w.r)
	must(err)
	return string(b)
}

func TestTunnelKeepsWhatComesBehindCONNECT(t *testing.T) {
	for name, options := range map[string][]func(*proxy.Server){"tunnel": {tunnelOnly}, "inspected": nil} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options...)
			r.tcp("raw.test:7", echo)
			w := r.tunnel("raw.test:7", "early ")
			if got := w.half("late"); got != "early late" {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestTLSSentRightBehindCONNECT(t *testing.T) {
	r := newRig(t)
	r.origin(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	// The ClientHello in the packet of the CONNECT itself.
	pipe, far := net.Pipe()
	tc := tls.Client(pipe, &tls.Config{RootCAs: proxyCA.pool(), ServerName: "origin.test"})
	done := make(chan error, 1)
	go func() { done <- tc.Handshake() }()
	hello := make([]byte, 8192)
	n, err := far.Read(hello)
	must(err)
	w := r.tunnel("origin.test:443", string(hello[:n]))
	go func() { io.Copy(w.Conn, far); w.Close() }()
	go func() { io.Copy(far, w); far.Close() }()
	if err := await(t, done, "handshake"); err != nil {
		t.Fatal(err)
	}
	io.WriteString(tc, "GET / HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n")
	if got, _ := io.ReadAll(tc); !bytes.HasSuffix(got, []byte("hello")) {
		t.Errorf("got %q", got)
	}
	tc.Close()
}

// SMTP and the like: the client waits for the server's word.
func TestServerSpeaksFirst(t *testing.T) {
	r := newRig(t)
	r.tcp("mail.test:25", func(c net.Conn) { io.WriteString(c, "220 hello\r\n"); echo(c) })
	w := r.tunnel("mail.test:25", "")
	if got := w.line(); got != "220 hello" {
		t.Errorf("got %q", got)
	}
	if got := w.half("QUIT"); got != "QUIT" {
		t.Errorf("got %q", got)
	}
}

// spy tells what is copied into a connection.
type spy struct {
	*net.TCPConn
	from chan string
}

func (s spy) ReadFrom(src io.Reader) (int64, error) {
	s.from <- fmt.Sprintf("%T", src)
	return s.TCPConn.ReadFrom(src)
}

// Splice needs the client's connection bare.
func TestTunnelCopiesBareConnections(t *testing.T) {
	from := make(chan string, 1)
	r := newRig(t, tunnelOnly, func(s *proxy.Server) {
		dial := s.Dial
		s.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return spy{c.(*net.TCPConn), from}, nil
		}
	})
	r.tcp("raw.test:7", echo)
	if got := r.tunnel("raw.test:7", "").half("hi"); got != "hi" {
		t.Errorf("got %q", got)
	}
	// net's own name for a *net.TCPConn that comes by way of its WriteTo.
	if got := <-from; got != "*net.TCPConn" && got != "net.tcpConnWithoutWriteTo" {
		t.Errorf("copied from %s", got)
	}
}

func TestRulesDecideWhatIsTunnelled(t *testing.T) {
	for name, tt := range map[string]struct {
		intercept proxy.Intercept
		addr      string
		config    *tls.Config
		want      bool // intercepted
	}{
		"all":               {proxy.Intercept{Enabled: true}, "a.test:443", &tls.Config{}, true},
		"odd port":          {proxy.Intercept{Enabled: true}, "a.test:8443", &tls.Config{}, true},
		"off":               {proxy.Intercept{}, "a.test:443", &tls.Config{}, false},
		"never":             {proxy.Intercept{Enabled: true, Never: []string{"*.TEST"}}, "a.test:443", &tls.Config{}, false},
		"only others":       {proxy.Intercept{Enabled: true, Only: []string{"b.*"}}, "a.test:443", &tls.Config{}, false},
		"only this":         {proxy.Intercept{Enabled: true, Only: []string{"a.test"}}, "A.test.:443", &tls.Config{}, true},
		"imaps":             {proxy.Intercept{Enabled: true}, "a.test:993", &tls.Config{}, false},
		"other ALPN":        {proxy.Intercept{Enabled: true}, "a.test:443", &tls.Config{NextProtos: []string{"dot"}}, false},
		"other server name": {proxy.Intercept{Enabled: true}, "a.test:443", &tls.Config{ServerName: "b.test"}, false},
		"old TLS":           {proxy.Intercept{Enabled: true}, "a.test:443", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(s *proxy.Server) { s.Intercept = tt.intercept })
			config := originCA.config("a.test")
			config.MinVersion, config.NextProtos = tls.VersionTLS10, []string{"dot", "http/1.1"}
			serve := func(c net.Conn) { s := tls.Server(c, config); s.Handshake(); io.Copy(io.Discard, s) }
			r.tcp(tt.addr, serve)
			w := r.tunnel(tt.addr, "")
			client := tt.config.Clone()
			client.InsecureSkipVerify = true
			if client.ServerName == "" {
				client.ServerName = "a.test"
			}
			c := tls.Client(w.Conn, client)
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			issuer := c.ConnectionState().PeerCertificates[0].Issuer.CommonName
			if got := issuer == "proxy-ca.test"; got != tt.want {
				t.Errorf("certificate by %s", issuer)
			}
			c.Close()
		})
	}
}

func TestConnectInsideInterceptedIsRefused(t *testing.T) {
	r := newRig(t)
	w := r.secure("origin.test")
	w.send("CONNECT x.test:443 HTTP/1.1\r\nHost: x.test:443\r\n\r\n")
	if got := w.response("GET").StatusCode; got != 400 {
		t.Errorf("got %d", got)
	}
}

func TestUpgrades(t *testing.T) {
	for _, protocol := range []string{"websocket", "custom/1"} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(protocol+" over "+scheme, func(t *testing.T) {
				r := newRig(t)
				r.origin(func(w http.ResponseWriter, req *http.Request) {
					if req.Header.Get("Upgrade") != protocol || req.Header.Get("Connection") != "Upgrade" {
						t.Errorf("origin saw %v", req.Header)
					}
					c, rw, err := w.(http.Hijacker).Hijack()
					must(err)
					defer c.Close()
					io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: "+protocol+"\r\nX-Accept: 1\r\n\r\nhello ")
					io.Copy(c, rw.Reader)
				})
				w, target := r.connect(), "http://origin.test/ws"
				if scheme == "https" {
					w, target = r.secure("origin.test"), "/ws"
				}
				w.send("GET " + target + " HTTP/1.1\r\nHost: origin.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: " + protocol + "\r\n\r\nearly ")
				resp := w.response("GET")
				if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != protocol || resp.Header.Get("X-Accept") != "1" || resp.Header.Get("Via") != proxy.Via {
					t.Fatalf("%s %v", resp.Status, resp.Header)
				}
				w.send("late")
				must(w.Conn.(interface{ CloseWrite() error }).CloseWrite())
				if got, err := io.ReadAll(w); err != nil || string(got) != "hello early late" {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
	}
}

func TestUpgradeRefusedIsAnOrdinaryResponse(t *testing.T) {
	r := newRig(t)
	r.origin(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	w := r.connect()
	w.send("GET http://origin.test/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	resp := w.response("GET")
	if got := body(t, resp, nil); resp.StatusCode != 403 || got != "no\n" {
		t.Errorf("%s %q", resp.Status, got)
	}
}

// h2c is withdrawn, and would hide requests from us.
func TestH2cIsNotPassedOn(t *testing.T) {
	r := newRig(t)
	r.origin(func(w http.ResponseWriter, req *http.Request) {
		io.WriteString(w, req.Header.Get("Upgrade")+req.Header.Get("Http2-Settings"))
	})
	w := r.connect()
	w.send("GET http://origin.test/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
	if got := body(t, w.response("GET"), nil); got != "" {
		t.Errorf("origin saw %q", got)
	}
}
