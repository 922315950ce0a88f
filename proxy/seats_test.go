package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"dtpx/proxy"
)

func perClient(n int) func(*proxy.Server) { return func(s *proxy.Server) { s.PerClient = n } }

// held is an origin that answers at once and ends its bodies when it is told to.
func (r *rig) held() (release func()) {
	end := make(chan struct{})
	r.origin(func(w http.ResponseWriter, req *http.Request) {
		w.(http.Flusher).Flush()
		select {
		case <-end:
		case <-req.Context().Done():
		}
	})
	return func() { close(end) }
}

func TestOneClientCannotTakeAllSeats(t *testing.T) {
	eachScheme(t, func(t *testing.T, base string, h2 bool) {
		r := neighbour(t, perClient(3), func(s *proxy.Server) { s.Token = "secret" })
		release := r.held()
		c := r.client(h2)
		var open []*http.Response
		for range 3 {
			resp, err := c.Get(base)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v %v", resp, err)
			}
			open = append(open, resp)
		}
		if base == "http://origin.test" || h2 { // a new connection's CONNECT is what is refused otherwise
			resp, err := c.Get(base)
			b := body(t, resp, err)
			if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !strings.Contains(b, "may have no more at a time") {
				t.Errorf("the fourth: %s %v %q", resp.Status, resp.Header, b)
			}
		}
		w := r.connect()
		w.send("CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n")
		if resp := w.response("CONNECT"); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("CONNECT: %s", resp.Status)
		}
		release()
		for _, resp := range open {
			body(t, resp, nil)
		}
		eventually(t, "seats are free again", func() bool {
			resp, err := c.Get(base)
			return err == nil && body(t, resp, nil) == "" && resp.StatusCode == 200
		})
		counted := body(t, r.ask("GET", "/metrics", r.addr, "Authorization: Bearer secret"), nil)
		if strings.Contains(counted, "dtpx_proxy_limited_total 0\n") || !strings.Contains(counted, "dtpx_proxy_limited_total ") {
			t.Errorf("not counted: %s", counted)
		}
	})
}

func TestTunnelsTakeSeats(t *testing.T) {
	r := neighbour(t, perClient(2), tunnelOnly)
	r.tcp("raw.test:7", echo)
	a := r.tunnel("raw.test:7", "")
	r.tunnel("raw.test:7", "")
	w := r.connect()
	w.send("CONNECT raw.test:7 HTTP/1.1\r\nHost: raw.test:7\r\n\r\n")
	if resp := w.response("CONNECT"); resp.StatusCode != 429 {
		t.Errorf("the third: %s", resp.Status)
	}
	if got := a.half("x"); got != "x" {
		t.Errorf("got %q", got)
	}
	eventually(t, "the ended tunnel's seat is free", func() bool {
		w := r.connect()
		defer w.Close()
		w.send("CONNECT raw.test:7 HTTP/1.1\r\nHost: raw.test:7\r\n\r\n")
		return w.response("CONNECT").StatusCode == 200
	})
}

// An intercepted connection that is idle takes no seat, or browsers would soon
// have none left.
func TestIdleInterceptedConnectionsTakeNoSeat(t *testing.T) {
	r := neighbour(t, perClient(2))
	r.origin(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	for range 6 {
		w := r.secure("origin.test")
		w.send("GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n")
		if resp := w.response("GET"); resp.StatusCode != 200 || body(t, resp, nil) != "hello" {
			t.Fatalf("%s", resp.Status)
		}
	}
}

func TestEachUserHasSeats(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
	must(err)
	r := neighbour(t, perClient(1), tunnelOnly, func(s *proxy.Server) { s.Users = map[string]string{"anna": string(hash), "bert": string(hash)} })
	r.tcp("raw.test:7", echo)
	ask := func(user string) int {
		w := r.connect()
		w.send("CONNECT raw.test:7 HTTP/1.1\r\nHost: raw.test:7\r\nProxy-Authorization: " + basic(user+":x") + "\r\n\r\n")
		return w.response("CONNECT").StatusCode
	}
	for i, c := range []struct {
		user string
		want int
	}{{"anna", 200}, {"anna", 429}, {"bert", 200}, {"bert", 429}} {
		if got := ask(c.user); got != c.want {
			t.Errorf("%d: %s got %d, want %d", i, c.user, got, c.want)
		}
	}
}

func TestOwnProgramsAreNotLimited(t *testing.T) {
	r := newRig(t, perClient(1), tunnelOnly)
	r.tcp("raw.test:7", echo)
	for range 8 {
		r.tunnel("raw.test:7", "")
	}
}

func TestConnectionsOfOneClientAreBounded(t *testing.T) {
	r := neighbour(t, perClient(2))
	r.origin(func(http.ResponseWriter, *http.Request) {})
	ask := func(w *wire) int {
		w.send("GET http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n")
		resp := w.response("GET")
		io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	var idle []*wire
	for range 6 {
		w := r.connect()
		if got := ask(w); got != 200 {
			t.Fatalf("%d of 8: %d", len(idle), got)
		}
		idle = append(idle, w)
	}
	for range 2 { // intercepted ones are among them
		w := r.secure("origin.test")
		w.send("GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n")
		if resp := w.response("GET"); resp.StatusCode != 200 {
			t.Fatal(resp.Status)
		}
		idle = append(idle, w)
	}
	w := r.connect()
	if resp := w.response("GET"); resp.StatusCode != 429 || !resp.Close || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %s %v", resp.Status, resp.Header)
	}
	idle[0].Close()
	idle[7].Close()
	eventually(t, "there is room again", func() bool { return r.tries() == 200 })
	if again := ask(idle[1]); again != 200 {
		t.Errorf("those that were there: %d", again)
	}
}

// tries opens a connection and asks for something; 0 if it is closed.
func (r *rig) tries() int {
	w := r.connect()
	defer w.Close()
	if _, err := io.WriteString(w.Conn, "GET http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n"); err != nil {
		return 0
	}
	resp, err := http.ReadResponse(w.r, nil)
	if err != nil {
		return 0
	}
	return resp.StatusCode
}
