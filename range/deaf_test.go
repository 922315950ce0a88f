package ranges_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	ranges "dtpx/range"
)

// A server closes a kept connection instead of answering, net/http asks again on a fresh
// one, and that answer is slow. The first connection says nothing about the second: the
// request is not sent once more.
func TestRepeatedRequestIsNotUnheard(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch asked.Add(1) {
		case 2:
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		case 3:
			time.Sleep(4 * time.Second) // it takes its time
		}
		_, _ = io.WriteString(w, "answer")
	}))
	defer s.Close()
	e := &ranges.Engine{}
	defer e.Close()
	c := &http.Client{Transport: &ranges.Transport{Base: &http.Transport{}, Engine: e}}
	for range 2 {
		resp, err := c.Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(b) != "answer" {
			t.Errorf("%q, %v", b, err)
		}
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times", n)
	}
}

// odd is a connection that is no key of a map.
type odd struct {
	net.Conn
	_ [0]func()
}

// Who embeds the transport may dial connections of any type.
func TestAnyTypeOfConnection(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") }))
	defer s.Close()
	e := &ranges.Engine{}
	defer e.Close()
	base := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return odd{Conn: c}, err
	}}
	defer base.CloseIdleConnections()
	c := &http.Client{Transport: &ranges.Transport{Base: base, Engine: e}}
	for range 2 { // the second one on the kept connection
		resp, err := c.Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
