package proxy_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dtpx/proxy"
)

// secureOrigin serves TLS with one configuration at a name.
func (r *rig) secureOrigin(name string, config *tls.Config) {
	r.tcp(name+":443", func(c net.Conn) {
		s := tls.Server(c, config)
		if s.Handshake() == nil {
			s.Read(make([]byte, 4096))
			io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
		}
	})
}

func oneCert(c *tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{*c}} }

func TestErrorPagesSayWhichProblem(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	closed.Close()
	later := time.Now().Add(time.Hour)
	stranger, expired := newAuthority("stranger-ca.test"), newAuthority("expired-ca.test")
	expired.cert, expired.key = originCA.cert, originCA.key
	self := newAuthority("self.test")

	r := newRig(t)
	r.name("down.test:443", closed.Addr().String())
	r.secureOrigin("good.test", oneCert(originCA.leaf("good.test", later)))
	r.secureOrigin("expired.test", oneCert(expired.leaf("expired.test", time.Now().Add(-time.Minute))))
	r.secureOrigin("wrong.test", oneCert(originCA.leaf("right.test", later)))
	r.secureOrigin("self.test", oneCert(&tls.Certificate{Certificate: [][]byte{self.cert.Raw}, PrivateKey: self.key}))
	r.secureOrigin("stranger.test", oneCert(stranger.leaf("stranger.test", later)))
	old := oneCert(originCA.leaf("old.test", later))
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	r.secureOrigin("old.test", old)
	r.tcp("plain.test:443", func(c net.Conn) { io.WriteString(c, "220 hello\r\n"); c.Read(make([]byte, 1)) })
	r.tcp("hangup.test:443", func(net.Conn) {})
	abort := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	abort.TLS, abort.EnableHTTP2 = oneCert(originCA.leaf("abort.test", later)), true
	abort.StartTLS()
	defer abort.Close()
	r.name("abort.test:443", abort.Listener.Addr().String())
	r.tcp("length.test:443", func(c net.Conn) {
		tc := tls.Server(c, oneCert(originCA.leaf("length.test", later)))
		tc.Read(make([]byte, 4096))
		io.WriteString(tc, "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n")
	})

	for name, want := range map[string]string{
		"good.test":     "200 hello",
		"nowhere.test":  "502 dtpx: DNS failure: there is no host nowhere.test",
		"down.test":     "502 dtpx: connection refused",
		"expired.test":  "502 dtpx: the origin's certificate expired on " + time.Now().Format("2006-"),
		"wrong.test":    "502 dtpx: the origin's certificate is for another host: it names right.test",
		"self.test":     "502 dtpx: the origin's certificate is self-signed",
		"stranger.test": "502 dtpx: the origin's certificate is signed by an unknown authority",
		"old.test":      "502 dtpx: the origin's TLS is too old",
		"plain.test":    "502 dtpx: the origin does not speak TLS",
		"hangup.test":   "502 dtpx: the origin closed the connection",
		"length.test":   "502 dtpx: the origin's answer is not valid HTTP",
		"abort.test":    "502 dtpx: the origin closed the connection",
	} {
		for _, h2 := range []bool{false, true} {
			before := r.dialled()
			resp, err := r.client(h2).Get("https://" + name + "/path?secret=1")
			got := body(t, resp, err)
			if got = fmt.Sprint(resp.StatusCode, " ", got); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
			if strings.Contains(got, "secret") {
				t.Errorf("%s: the query is shown", name)
			}
			if resp.StatusCode == 502 && !strings.HasPrefix(resp.Header.Get("Proxy-Status"), "dtpx; error=") {
				t.Errorf("%s: Proxy-Status %q", name, resp.Header.Get("Proxy-Status"))
			}
			if r.dialled() == before && name != "abort.test" { // whose HTTP/2 connection lives on
				t.Errorf("%s: not even tried", name)
			}
		}
	}
	if len(r.server.Tunnelled()) != 0 {
		t.Error("an origin's failure led to a tunnel")
	}
}

func TestErrorPageIsHTMLForBrowsers(t *testing.T) {
	r := newRig(t)
	req, _ := http.NewRequest("GET", "http://user:pw@nowhere.test/<script>?q", nil)
	req.Header.Set("Accept", "text/html,application/xhtml+xml;q=0.9")
	resp, err := r.client(false).Do(req)
	got := body(t, resp, err)
	if !strings.Contains(got, "<h1>Bad Gateway</h1>") || strings.Contains(got, "<script>") || strings.Contains(got, "pw") {
		t.Errorf("page: %s", got)
	}
}

func TestTimeoutIs504(t *testing.T) {
	for name, err := range map[string]error{
		"deadline": context.DeadlineExceeded,
		"dial":     &net.OpError{Op: "dial", Err: context.DeadlineExceeded},
		"dns":      &net.DNSError{IsTimeout: true, Name: "x"},
	} {
		r := newRig(t, func(s *proxy.Server) {
			s.Transport = roundTripper(func(*http.Request) (*http.Response, error) { return nil, err })
		})
		resp, err := r.client(false).Get("http://origin.test/")
		if body(t, resp, err); resp.StatusCode != 504 {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
}

func TestErrorTextsHoldNoSecrets(t *testing.T) {
	r := newRig(t, func(s *proxy.Server) {
		s.Transport = roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("proxy http://me:secret@parent/ said no")
		})
	})
	resp, err := r.client(false).Get("http://origin.test/")
	if got := body(t, resp, err); resp.StatusCode != 502 || strings.Contains(got, "secret") {
		t.Errorf("%s %q", resp.Status, got)
	}
}

func TestTunnelThatCannotBeMadeIs502(t *testing.T) {
	r := newRig(t, func(s *proxy.Server) { s.Intercept.Enabled = false })
	w := r.connect()
	w.send("CONNECT nowhere.test:443 HTTP/1.1\r\nHost: nowhere.test:443\r\n\r\n")
	resp := w.response("GET")
	if got := body(t, resp, nil); resp.StatusCode != 502 || !strings.Contains(got, "no host nowhere.test") {
		t.Errorf("%s %q", resp.Status, got)
	}
}

// A parent proxy's 407 is for us, not for the client.
func TestParentProxyWantsCredentials(t *testing.T) {
	r := newRig(t, func(s *proxy.Server) {
		s.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 407, Header: http.Header{"Proxy-Authenticate": {"Basic"}}, Body: http.NoBody, Request: r}, nil
		})
	})
	resp, err := r.client(false).Get("http://origin.test/")
	if body(t, resp, err); resp.StatusCode != 502 {
		t.Errorf("%s", resp.Status)
	}
}

func TestLoopIsFound(t *testing.T) {
	r := newRig(t, func(s *proxy.Server) { s.HopName = "me" })
	for _, line := range []string{"GET http://origin.test/ HTTP/1.1", "CONNECT origin.test:443 HTTP/1.1"} {
		w := r.connect()
		w.send(line + "\r\nHost: origin.test:443\r\nDtpx-Hop: other\r\nDtpx-Hop: x, me\r\n\r\n")
		if got := w.response("GET").StatusCode; got != 508 {
			t.Errorf("%s: %d", line, got)
		}
	}
	seen := make(chan []string, 1)
	r.origin(func(_ http.ResponseWriter, req *http.Request) { seen <- req.Header["Dtpx-Hop"] })
	r.name("127.0.0.1:80", r.names["origin.test:80"])
	for host, want := range map[string]int{"origin.test": 0, "127.0.0.1": 2} {
		req, _ := http.NewRequest("GET", "http://"+host, nil)
		req.Header.Set("Dtpx-Hop", "other")
		w := r.connect()
		must(req.WriteProxy(w.Conn))
		w.response("GET")
		if got := await(t, seen, "request"); len(got) != want {
			t.Errorf("%s got %q", host, got)
		}
	}
}
