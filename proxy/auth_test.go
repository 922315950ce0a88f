package proxy_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"dtpx/proxy"
)

func basic(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }

func TestUsers(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("pass:word"), 10)
	must(err)
	user := make(chan string, 100)
	r := newRig(t, func(s *proxy.Server) {
		s.Users = map[string]string{"me": string(hash)}
		transport := s.Transport
		s.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			c, _ := proxy.ClientFrom(req.Context())
			user <- c.User
			return transport.RoundTrip(req)
		})
	})
	r.origin(func(w http.ResponseWriter, req *http.Request) {
		io.WriteString(w, req.Header.Get("Proxy-Authorization"))
	})
	for field, want := range map[string]int{
		"": 407, "Basic": 407, "Basic !": 407, "Bearer x": 407, basic("me"): 407, basic("me:wrong"): 407, basic("you:pass:word"): 407, basic(":"): 407,
		basic("me:pass:word"): 200,
	} {
		for _, request := range []string{"GET http://origin.test/ HTTP/1.1", "CONNECT origin.test:443 HTTP/1.1", "GET http://dtpx.internal/healthz HTTP/1.1"} {
			w := r.connect()
			w.send(request + "\r\nHost: origin.test:443\r\nProxy-Authorization: " + field + "\r\n\r\n")
			resp := w.response("CONNECT")
			if resp.StatusCode != want || want == 407 && resp.Header.Get("Proxy-Authenticate") == "" {
				t.Errorf("%q %s: %s", field, request, resp.Status)
			}
		}
	}
	// A right answer is remembered: bcrypt would take seconds.
	begin := time.Now()
	for range 40 {
		w := r.connect()
		w.send("GET http://origin.test/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: " + basic("me:pass:word") + "\r\n\r\n")
		if got := body(t, w.response("GET"), nil); got != "" {
			t.Fatalf("the origin got %q", got)
		}
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("40 requests took %v", took)
	}
	if got := <-user; got != "me" {
		t.Errorf("user %q", got)
	}
}

func TestUsersInsideInterceptedConnections(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("pw"), bcrypt.MinCost)
	must(err)
	r := newRig(t, func(s *proxy.Server) { s.Users = map[string]string{"me": string(hash)} })
	r.origin(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	c := r.client(true)
	c.Transport.(*http.Transport).ProxyConnectHeader = http.Header{"Proxy-Authorization": {basic("me:pw")}}
	for range 2 {
		resp, err := c.Get("https://origin.test/")
		if got := body(t, resp, err); got != "hello" {
			t.Errorf("%s %q", resp.Status, got)
		}
	}
}

// Programs of the owner, who can read the token, need no password.
func TestTokenStandsForAUser(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("word"), bcrypt.MinCost)
	must(err)
	r := newRig(t, func(s *proxy.Server) { s.Users, s.Token = map[string]string{"me": string(hash)}, "0123456789" })
	r.origin(func(w http.ResponseWriter, req *http.Request) {
		io.WriteString(w, req.Header.Get("Proxy-Authorization"))
	})
	for field, want := range map[string]int{basic(":0123456789"): 200, basic(":012345678"): 407, basic("me:0123456789"): 407, basic(":"): 407} {
		w := r.connect()
		w.send("GET http://origin.test/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: " + field + "\r\n\r\n")
		resp := w.response("GET")
		if got := body(t, resp, nil); resp.StatusCode != want || want == 200 && got != "" {
			t.Errorf("%s: %s %q", field, resp.Status, got)
		}
	}
}
