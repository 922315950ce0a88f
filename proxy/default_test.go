package proxy_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"dtpx/proxy"
)

// zero is a rig whose proxy has nothing set that has a default.
func zero(s *proxy.Server) { s.Transport, s.Dial, s.TLS = nil, nil, nil }

func TestZeroValueProxies(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		io.WriteString(w, "hello"+req.Header.Get(proxy.BypassField))
	}))
	defer origin.Close()
	r := newRig(t, zero)
	req, _ := http.NewRequest("GET", origin.URL, nil)
	req.Header.Set(proxy.BypassField, "1")
	resp, err := r.client(false).Do(req)
	if got := body(t, resp, err); got != "hello" {
		t.Errorf("got %q", got)
	}
	w := r.tunnel(origin.Listener.Addr().String(), "GET / HTTP/1.0\r\n\r\n")
	if got := body(t, w.response("GET"), nil); got != "hello" {
		t.Errorf("got %q", got)
	}
}

func TestContentTypeIsNotGuessed(t *testing.T) {
	eachScheme(t, func(t *testing.T, base string, h2 bool) {
		r := newRig(t)
		r.origin(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			io.WriteString(w, "<html>hello")
		})
		resp, err := r.client(h2).Get(base)
		if body(t, resp, err); resp.Header.Get("Content-Type") != "" {
			t.Errorf("Content-Type %q", resp.Header.Get("Content-Type"))
		}
	})
}

func TestUnaskedUpgradeIsRefused(t *testing.T) {
	r := newRig(t)
	r.origin(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		must(err)
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
	})
	w := r.connect()
	w.send("GET http://origin.test/ HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := w.response("GET").StatusCode; got != 502 {
		t.Errorf("got %d", got)
	}
}
