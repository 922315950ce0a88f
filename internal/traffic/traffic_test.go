package traffic_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"dtpx/internal/testbed/need"
	"dtpx/internal/traffic"
)

// server answers each connection with what it is sent, until that ends.
func server(t *testing.T) string {
	t.Helper()
	need.Linux(t) // the kernel says what sockets have moved
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}()
	return l.Addr().String()
}

// echo sends n bytes over c and waits until they are back.
func echo(t *testing.T, c net.Conn, n int64) {
	t.Helper()
	go func() { _, _ = io.CopyN(c, zeros{}, n) }()
	if _, err := io.CopyN(io.Discard, c, n); err != nil {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func open(t *testing.T, m *traffic.Meter, addr string) net.Conn {
	t.Helper()
	c, err := m.Watch((&net.Dialer{}).DialContext)(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, bare := c.(*net.TCPConn); !bare {
		t.Fatalf("%T cannot be spliced", c)
	}
	return c
}

// expect takes a rate that is a little more: a busy machine sends some of it twice.
func expect(t *testing.T, m *traffic.Meter, now time.Time, want float64) {
	t.Helper()
	if got := m.Rate(now); got < want*0.999-1 || got > want*1.4+1 {
		t.Errorf("%.0f B/s, want %.0f", got, want)
	}
}

func TestRate(t *testing.T) {
	addr, now := server(t), time.Unix(1e9, 0)
	var m traffic.Meter
	a, b := open(t, &m, addr), open(t, &m, addr)
	echo(t, a, 1<<20)
	expect(t, &m, now, 0) // since when is not known
	echo(t, a, 1<<20)
	echo(t, b, 3<<20)
	now = now.Add(500 * time.Millisecond)
	expect(t, &m, now, 16<<20) // both ways
	echo(t, a, 1<<20)
	expect(t, &m, now.Add(20*time.Millisecond), 16<<20) // too soon to say
	now = now.Add(time.Second)
	expect(t, &m, now, 2<<20)
	a.Close()
	echo(t, b, 1<<20)
	now = now.Add(time.Second)
	expect(t, &m, now, 2<<20)
	now = now.Add(time.Second)
	expect(t, &m, now, 0)
	echo(t, b, 1<<20)
	now = now.Add(time.Hour)
	expect(t, &m, now, 0) // nobody asked for an hour
	echo(t, b, 1<<20)
	expect(t, &m, now.Add(-time.Minute), 0) // the clock was set back
}

// Connections come and go by the hundred between two questions.
func TestManyConnections(t *testing.T) {
	addr, now := server(t), time.Unix(1e9, 0)
	var m traffic.Meter
	stays := open(t, &m, addr)
	m.Rate(now)
	for range 500 {
		c := open(t, &m, addr)
		echo(t, stays, 1<<10)
		c.Close()
	}
	expect(t, &m, now.Add(time.Second), 500<<11)
}

func TestWhatCounts(t *testing.T) {
	addr, now := server(t), time.Unix(1e9, 0)
	for also, counts := range map[string]bool{"10.0.0.0/8": false, "127.0.0.0/8": true} {
		m := traffic.Meter{Counts: traffic.Internet([]netip.Prefix{netip.MustParsePrefix(also)})}
		c := open(t, &m, addr)
		m.Rate(now)
		echo(t, c, 1<<20)
		want := 0.0
		if counts {
			want = 2 << 20
		}
		expect(t, &m, now.Add(time.Second), want)
	}
	for a, want := range map[string]bool{"1.1.1.1": true, "2606:4700::1": true, "64:ff9b::101:101": true, "192.168.1.1": false, "127.0.0.1": false, "fe80::1": false} {
		if got := traffic.Internet(nil)(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
}

func TestDialErrorsPass(t *testing.T) {
	var m traffic.Meter
	want := errors.New("no route")
	_, err := m.Watch(func(context.Context, string, string) (net.Conn, error) { return nil, want })(t.Context(), "tcp", "1.1.1.1:1")
	if !errors.Is(err, want) {
		t.Error(err)
	}
	a, b := net.Pipe()
	defer b.Close()
	c, err := m.Watch(func(context.Context, string, string) (net.Conn, error) { return a, nil })(t.Context(), "tcp", "1.1.1.1:1")
	if err != nil || c != a {
		t.Error(c, err)
	}
	c.Close()
}
