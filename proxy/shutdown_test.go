package proxy_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"dtpx/proxy"
)

func TestShutdownLetsDownloadsFinish(t *testing.T) {
	eachScheme(t, func(t *testing.T, base string, h2 bool) {
		r := newRig(t)
		begun, finish := make(chan bool, 1), make(chan bool)
		r.origin(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "begin ")
			w.(http.Flusher).Flush()
			begun <- true
			<-finish
			io.WriteString(w, "end")
		})
		resp, err := r.client(h2).Get(base)
		if err != nil {
			t.Fatal(err)
		}
		<-begun
		done := make(chan error, 1)
		go func() { done <- r.server.Shutdown(t.Context()) }()
		waitRefused(t, r.addr)
		close(finish)
		if got := body(t, resp, nil); got != "begin end" {
			t.Errorf("got %q", got)
		}
		if err := await(t, done, "shutdown"); err != nil {
			t.Error(err)
		}
	})
}

// waitRefused returns when nothing listens any more.
func waitRefused(t *testing.T, addr string) {
	for begin := time.Now(); time.Since(begin) < patience; {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		c.Close()
	}
	t.Fatal("still listening")
}

func TestShutdownClosesWhatCannotBeWaitedFor(t *testing.T) {
	r := newRig(t, surface)
	r.tcp("raw.test:7", echo)
	tunnel := r.tunnel("raw.test:7", "hi")
	if _, err := io.ReadFull(tunnel, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	silent := r.connect()
	inspected := r.tunnel("raw.test:443", "")
	handshake := r.tunnel("raw.test:443", "\x16\x03\x01")
	unused := r.secure("origin.test")
	events := r.ask("GET", "/api/v1/events", r.addr)
	begin := time.Now()
	if err := r.server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
	for name, w := range map[string]io.Reader{"tunnel": tunnel, "silent": silent, "inspected": inspected, "handshake": handshake, "unused": unused, "events": events.Body} {
		if _, err := io.ReadAll(w); err != nil && !strings.Contains(err.Error(), "reset") && err != io.ErrUnexpectedEOF {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(r.server.Tunnelled()) != 0 {
		t.Error("the end was taken for a refusal")
	}
}

func TestShutdownIsBounded(t *testing.T) {
	r := newRig(t)
	begun := make(chan bool, 1)
	r.origin(func(w http.ResponseWriter, req *http.Request) {
		w.(http.Flusher).Flush()
		begun <- true
		<-req.Context().Done()
	})
	resp, err := r.client(true).Get("https://origin.test/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := r.server.Shutdown(ctx); err == nil {
		t.Error("no error for what was cut")
	}
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("a cut response looks whole")
	}
}

// closedListener was closed by somebody else, which Accept has not noticed yet.
type closedListener struct {
	net.Listener
	accepting, noticed chan struct{}
}

func (l closedListener) Accept() (net.Conn, error) {
	close(l.accepting)
	<-l.noticed
	return nil, net.ErrClosed
}

func (l closedListener) Close() error {
	close(l.noticed)
	return net.ErrClosed
}

// The program closes its listener first, so that nobody connects to what is
// about to end.
func TestShutdownAfterTheListenerWasClosed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	must(ln.Close())
	closed := closedListener{ln, make(chan struct{}), make(chan struct{})}
	s := &proxy.Server{}
	served := make(chan error)
	go func() { served <- s.Serve(closed) }()
	<-closed.accepting
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	<-served
}
