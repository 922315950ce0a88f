package proxy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"dtpx/proxy"
)

// node is a proxy.Node that counts.
type node struct{ n atomic.Int64 }

func (n *node) Status() any              { return map[string]any{"version": "1", "n": n.n.Load()} }
func (n *node) Downloads() any           { return []map[string]any{{"id": "d1"}} }
func (n *node) Peers() any               { return []any{} }
func (n *node) Cache() any               { return map[string]any{"size": 0} }
func (n *node) WriteMetrics(w io.Writer) { io.WriteString(w, "dtpx_test 1\n") }

func surface(s *proxy.Server) {
	s.Node, s.Token = new(node), "sesame"
	s.CAPEM, s.CADER = []byte("pem"), []byte("der")
}

// ask sends an origin-form request.
func (r *rig) ask(method, path, host string, fields ...string) *http.Response {
	w := r.connect()
	w.send(method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n")
	return w.response(method)
}

func TestSurface(t *testing.T) {
	r := newRig(t, surface)
	for path, want := range map[string]string{
		"/healthz": "200 text/plain; charset=utf-8 ok\n", "/ca.pem": "200 application/x-pem-file pem", "/ca.der": "200 application/x-x509-ca-cert der",
		"/api/v1/downloads": "200 application/json [\n  {\n    \"id\": \"d1\"\n  }\n]\n", "/api/v1/peers": "200 application/json []\n",
		"/nothing": "404 text/plain; charset=utf-8 404 page not found\n", "/api/v1/nothing": "404 text/plain; charset=utf-8 404 page not found\n",
	} {
		resp := r.ask("GET", path, r.addr)
		if got := fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Content-Type"), " ") + body(t, resp, nil); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if got := body(t, r.ask("GET", "/metrics", r.addr), nil); !strings.Contains(got, "dtpx_test 1") || !strings.Contains(got, "dtpx_proxy_requests_total 0") {
		t.Errorf("metrics: %s", got)
	}
	if resp := r.ask("HEAD", "/", r.addr); resp.StatusCode != 200 || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("dashboard: %s %v", resp.Status, resp.Header)
	}
	if resp := r.ask("POST", "/api/v1/status", r.addr); resp.StatusCode != 405 {
		t.Errorf("POST: %s", resp.Status)
	}
}

func TestSurfaceWithoutANode(t *testing.T) {
	r := newRig(t)
	for path, want := range map[string]string{"/api/v1/status": "{}", "/api/v1/downloads": "[]", "/api/v1/peers": "[]", "/api/v1/cache": "{}"} {
		if got := strings.TrimSpace(body(t, r.ask("GET", path, r.addr), nil)); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
	if resp := r.ask("GET", "/ca.pem", r.addr); resp.StatusCode != 404 {
		t.Errorf("ca.pem: %s", resp.Status)
	}
}

func TestSurfaceAnswersForItsOwnNamesOnly(t *testing.T) {
	r := newRig(t, surface)
	_, port, _ := net.SplitHostPort(r.addr)
	for host, want := range map[string]int{
		r.addr: 200, "localhost:" + port: 200, "LocalHost": 200, "[::1]:" + port: 200, "dtpx.internal": 200, "DTPX.internal.": 200,
		"evil.test": 421, "evil.test:" + port: 421, "127.0.0.1.evil.test": 421, "192.0.2.9": 421, "": 421, "localhost.evil.test": 421,
	} {
		if got := r.ask("GET", "/api/v1/status", host).StatusCode; got != want {
			t.Errorf("Host %q: %d, want %d", host, got, want)
		}
	}
}

func TestSurfaceRefusesOtherSites(t *testing.T) {
	r := newRig(t, surface)
	own := "http://" + r.addr
	for _, tt := range []struct {
		path   string
		fields []string
		want   int
	}{
		{"/api/v1/status", []string{"Origin: " + own}, 200},
		{"/api/v1/status", []string{"Sec-Fetch-Site: same-origin"}, 200},
		{"/", []string{"Sec-Fetch-Site: none"}, 200},
		{"/", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, 200},
		{"/", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}, 403},
		{"/api/v1/status", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, 403},
		{"/api/v1/status", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"/api/v1/status", []string{"Origin: http://evil.test"}, 403},
		{"/api/v1/status", []string{"Origin: null"}, 403},
		{"/ca.pem", []string{"Origin: https://" + r.addr}, 403},
	} {
		if got := r.ask("GET", tt.path, r.addr, tt.fields...).StatusCode; got != tt.want {
			t.Errorf("%s %q: %d, want %d", tt.path, tt.fields, got, tt.want)
		}
	}
}

func TestSurfaceForNeighbours(t *testing.T) {
	r := neighbour(t, surface)
	for _, path := range []string{"/", "/ca.pem", "/ca.der", "/proxy.pac", "/healthz"} {
		if got := r.ask("GET", path, r.addr).StatusCode; got != 200 {
			t.Errorf("%s: %d", path, got)
		}
	}
	for _, path := range []string{"/metrics", "/api/v1/status", "/api/v1/events", "/api/v1/downloads"} {
		for field, want := range map[string]int{"X: y": 401, "Authorization: Bearer wrong": 401, "Authorization: Basic sesame": 401, "Authorization: bearer sesame": 200} {
			if got := r.ask("GET", path, r.addr, field).StatusCode; got != want {
				t.Errorf("%s %s: %d, want %d", path, field, got, want)
			}
		}
	}
}

func TestSurfaceThroughTheProxy(t *testing.T) {
	r := newRig(t, surface)
	_, port, _ := net.SplitHostPort(r.addr)
	c := r.client(false)
	for _, host := range []string{"dtpx.internal", "dtpx.internal:80", "127.0.0.1:" + port, "localhost:" + port} {
		w := r.connect()
		w.send("GET http://" + host + "/healthz HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		if got := body(t, w.response("GET"), nil); got != "ok\n" {
			t.Errorf("%s: %q", host, got)
		}
	}
	resp, err := c.Get("http://dtpx.internal/proxy.pac")
	if got := body(t, resp, err); !strings.Contains(got, `"PROXY `+r.addr+`; DIRECT"`) {
		t.Errorf("pac: %s", got)
	}
	if r.dialled() != 0 {
		t.Error("a request for the surface left")
	}
}

func TestPACNamesTheHostUsed(t *testing.T) {
	r := newRig(t)
	_, port, _ := net.SplitHostPort(r.addr)
	resp := r.ask("GET", "/proxy.pac", "localhost:"+port)
	if got := body(t, resp, nil); !strings.Contains(got, `"PROXY localhost:`+port+`; DIRECT"`) || resp.Header.Get("Content-Type") != "application/x-ns-proxy-autoconfig" {
		t.Errorf("%v %s", resp.Header, got)
	}
}

func TestEventsTellChanges(t *testing.T) {
	n := new(node)
	r := newRig(t, func(s *proxy.Server) { s.Node = n })
	resp := r.ask("GET", "/api/v1/events", r.addr, "Accept-Encoding: gzip")
	if resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Content-Encoding") != "" {
		t.Fatalf("%v", resp.Header)
	}
	br := bufio.NewReader(resp.Body)
	next := func() (name, data string) {
		for !strings.HasPrefix(data, "data: ") {
			line, err := br.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if e, ok := strings.CutPrefix(line, "event: "); ok {
				name = strings.TrimSpace(e)
			}
			data = strings.TrimSpace(line)
		}
		return name, strings.TrimPrefix(data, "data: ")
	}
	for _, want := range []string{"status", "downloads", "peers", "cache", "tunnelled"} {
		if name, data := next(); name != want || !json.Valid([]byte(data)) {
			t.Errorf("event %s %s, want %s", name, data, want)
		}
	}
	n.n.Add(1)
	if name, data := next(); name != "status" || !strings.Contains(data, `"n":1`) {
		t.Errorf("event %s %s", name, data)
	}
}
