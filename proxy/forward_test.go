package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"dtpx/proxy"
)

func TestForwards(t *testing.T) {
	eachScheme(t, func(t *testing.T, base string, h2 bool) {
		r := newRig(t)
		r.origin(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Via", "1.1 edge")
			fmt.Fprintf(w, "%s %s %s via=%q", req.Method, req.Host, req.URL.RequestURI(), req.Header["Via"])
		})
		resp, err := r.client(h2).Get(base + "/a%2Fb?q=1;2")
		if got := body(t, resp, err); got != `GET origin.test /a%2Fb?q=1;2 via=[]` {
			t.Errorf("origin saw %s", got)
		}
		if via := resp.Header["Via"]; len(via) != 2 || via[1] != proxy.Via {
			t.Errorf("Via %q", via)
		}
		if resp.ContentLength < 0 {
			t.Error("the length got lost")
		}
		if wantMajor := map[bool]int{false: 1, true: 2}[h2]; resp.ProtoMajor != wantMajor {
			t.Errorf("protocol %s", resp.Proto)
		}
	})
}

func TestHopByHopFields(t *testing.T) {
	r := newRig(t)
	r.origin(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Connection", "X-Private")
		w.Header().Set("X-Private", "1")
		w.Header().Set("Keep-Alive", "timeout=5")
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.Header().Set("X-Public", "1")
		for k := range req.Header {
			fmt.Fprintf(w, "%s=%s\n", k, req.Header.Get(k))
		}
	})
	w := r.connect()
	w.send("GET http://origin.test/ HTTP/1.1\r\nHost: other.test\r\nConnection: X-Mine, Cookie, keep-alive\r\nX-Mine: 1\r\nCookie: c=1\r\n" +
		"Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTE: trailers, gzip\r\nAccept-Encoding: br\r\nDtpx-Bypass: 1\r\nX-Other: 1\r\n\r\n")
	resp := w.response("GET")
	got := body(t, resp, nil)
	for _, want := range []string{"Te=trailers\n", "Accept-Encoding=br\n", "X-Other=1\n", "Cookie=c=1\n", "Dtpx-Bypass=1\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("request lost %q: %s", want, got)
		}
	}
	for _, not := range []string{"X-Mine", "Keep-Alive", "Proxy-", "User-Agent", "Via", "X-Forwarded", "Dtpx-Hop"} {
		if strings.Contains(got, not) {
			t.Errorf("request carries %s: %s", not, got)
		}
	}
	for _, not := range []string{"X-Private", "Keep-Alive", "Proxy-Authenticate"} {
		if resp.Header.Get(not) != "" {
			t.Errorf("response carries %s", not)
		}
	}
	if resp.Header.Get("X-Public") != "1" {
		t.Error("response lost X-Public")
	}
}

func TestBodylessResponses(t *testing.T) {
	eachScheme(t, func(t *testing.T, base string, h2 bool) {
		r := newRig(t)
		r.origin(func(w http.ResponseWriter, req *http.Request) {
			switch req.URL.Path {
			case "/204":
				w.WriteHeader(204)
			case "/304":
				w.Header().Set("ETag", `"x"`)
				w.WriteHeader(304)
			default:
				w.Header().Set("Content-Length", "1000000")
			}
		})
		c := r.client(h2)
		resp, err := c.Head(base + "/")
		if body(t, resp, err); resp.ContentLength != 1000000 {
			t.Errorf("HEAD: length %d", resp.ContentLength)
		}
		for _, path := range []string{"/204", "/304"} {
			resp, err := c.Get(base + path)
			if got := body(t, resp, err); got != "" || "/"+resp.Status[:3] != path {
				t.Errorf("%s: %s %q", path, resp.Status, got)
			}
		}
	})
}

func TestOldClients(t *testing.T) {
	for _, tt := range []struct{ name, request string }{
		{"HTTP/1.0", "GET http://origin.test/ HTTP/1.0\r\n\r\n"},
		{"Connection: close", "GET http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.origin(func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, "one ")
				w.(http.Flusher).Flush() // chunked
				io.WriteString(w, "two")
			})
			w := r.connect()
			w.send(tt.request)
			if got := body(t, w.response("GET"), nil); got != "one two" {
				t.Errorf("got %q", got)
			}
			if _, err := w.r.ReadByte(); err != io.EOF {
				t.Errorf("connection stays open (%v)", err)
			}
		})
	}
	t.Run("HTTP/1.0 inside TLS", func(t *testing.T) {
		r := newRig(t)
		r.origin(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
		w := r.secure("origin.test")
		w.send("GET / HTTP/1.0\r\nHost: origin.test\r\n\r\n")
		if got := body(t, w.response("GET"), nil); got != "hello" {
			t.Errorf("got %q", got)
		}
	})
}

func TestClientThatLeavesCancels(t *testing.T) {
	eachScheme(t, func(t *testing.T, base string, h2 bool) {
		for _, when := range []string{"before", "within"} {
			r := newRig(t)
			begun, gone := make(chan bool, 1), make(chan bool, 1)
			r.origin(func(w http.ResponseWriter, req *http.Request) {
				if when == "within" {
					w.Write(make([]byte, 100))
					w.(http.Flusher).Flush()
				}
				begun <- true
				<-req.Context().Done()
				gone <- true
			})
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-begun; cancel() }()
			req, _ := http.NewRequestWithContext(ctx, "GET", base, nil)
			resp, err := r.client(h2).Do(req)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", when, err)
			}
			await(t, gone, "cancellation at the origin")
		}
	})
}

func TestClientIsKnownToTheTransport(t *testing.T) {
	type key struct{}
	eachScheme(t, func(t *testing.T, base string, h2 bool) {
		seen := make(chan string, 1)
		r := newRig(t, func(s *proxy.Server) {
			s.ClientContext = func(ctx context.Context, c proxy.Client) context.Context {
				return context.WithValue(ctx, key{}, c.Addr.String())
			}
			s.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
				c, ok := proxy.ClientFrom(req.Context())
				seen <- fmt.Sprintln(c.Loopback, ok, req.Context().Value(key{}), req.URL)
				return nil, errors.New("no")
			})
		})
		resp, err := r.client(h2).Get(base + "/x")
		body(t, resp, err)
		if got := <-seen; got != "true true 127.0.0.1 "+base+"/x\n" {
			t.Errorf("transport saw %s", got)
		}
	})
}

// A request for another virtual host keeps its Host, and is not accelerated:
// its URL is not its resource.
func TestOtherHostInsideInterceptedConnection(t *testing.T) {
	r := newRig(t)
	r.origin(func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprint(w, req.Host, " ", req.Header.Get(proxy.BypassField))
	})
	c := r.client(false)
	for host, want := range map[string]string{"": "origin.test ", "origin.test:443": "origin.test:443 ", "vhost.test": "vhost.test 1"} {
		req, _ := http.NewRequest("GET", "https://origin.test/", nil)
		req.Host = host
		resp, err := c.Do(req)
		if got := body(t, resp, err); got != want {
			t.Errorf("Host %q: origin saw %q, want %q", host, got, want)
		}
	}
}

func TestMaxForwards(t *testing.T) {
	r := newRig(t)
	r.origin(func(w http.ResponseWriter, req *http.Request) { fmt.Fprint(w, req.Method, req.Header["Max-Forwards"]) })
	for request, want := range map[string]string{
		"OPTIONS 0": "", "OPTIONS 2": "OPTIONS[1]", "TRACE 0": "", "GET 0": "GET[0]", "OPTIONS x": "OPTIONS[x]",
	} {
		method, n, _ := strings.Cut(request, " ")
		w := r.connect()
		w.send(method + " http://origin.test/ HTTP/1.1\r\nHost: x\r\nMax-Forwards: " + n + "\r\n\r\n")
		if got := body(t, w.response(method), nil); got != want {
			t.Errorf("%s: %q, want %q", request, got, want)
		}
	}
}

func TestBadRequests(t *testing.T) {
	r := newRig(t)
	r.origin(func(http.ResponseWriter, *http.Request) { t.Error("sent on") })
	for request, want := range map[string]int{
		"GET ftp://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n":                                  501,
		"GET http://origin.test:99999/ HTTP/1.1\r\nHost: origin.test\r\n\r\n":                           400,
		"GET http:///x HTTP/1.1\r\nHost: origin.test\r\n\r\n":                                           400,
		"GET http://origin.test/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n":                                400,
		"GET http://origin.test/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n": 400,
		"GET http://origin.test/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n":       501,
		"GET http://origin.test/ HTTP/1.1\r\nHost : a\r\n\r\n":                                          400,
		"CONNECT origin.test HTTP/1.1\r\nHost: origin.test\r\n\r\n":                                     400,
		"CONNECT origin.test:0 HTTP/1.1\r\nHost: origin.test:0\r\n\r\n":                                 400,
		"CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\nContent-Length: 3\r\n\r\nabc":     400,
		"CONNECT dtpx.internal:443 HTTP/1.1\r\nHost: dtpx.internal:443\r\n\r\n":                         404,
		"GET http://origin.test/ HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n":  431,
	} {
		w := r.connect()
		io.WriteString(w.Conn, request) // 431 may close before all is sent
		if got := w.response("GET").StatusCode; got != want {
			t.Errorf("%.60q: %d, want %d", request, got, want)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What hides in the content of a GET, which some servers do not read, is not answered
// in the place of another client's request.
func TestContentOfGET(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // it takes what comes for requests without content
				defer c.Close()
				for in := bufio.NewReader(c); ; {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(req.URL.Path), req.URL.Path)
					req.Body = http.NoBody
				}
			}()
		}
	}()
	r := newRig(t)
	r.name("origin.test:80", l.Addr().String())
	const hidden = "GET /evil HTTP/1.1\r\nX-Rest: "
	w := r.connect()
	w.send(fmt.Sprintf("GET http://origin.test/a HTTP/1.1\r\nHost: origin.test\r\nContent-Length: %d\r\n\r\n%s", len(hidden), hidden))
	if got := body(t, w.response("GET"), nil); got != "/a" {
		t.Errorf("%q", got)
	}
	resp, err := r.client(false).Get("http://origin.test/victim")
	if got := body(t, resp, err); got != "/victim" {
		t.Errorf("%q for /victim", got)
	}
}
