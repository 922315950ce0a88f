package traffic_test

import (
	"io"
	"net"
	"testing"
	"time"

	"dtpx/internal/tcpinfo"
	"dtpx/internal/testbed/netns"
	"dtpx/internal/traffic"
)

// A server that is slow to say anything at all may be one whose answer a full line has
// lost; one that is very slow has nothing to say, and one that has spoken is there.
func TestNoAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var m traffic.Meter
	c := open(t, &m, l.Addr().String())
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	say := func(c net.Conn) {
		t.Helper()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	m.Rate(time.Now())
	expectWait(t, &m, "nothing is asked", false)
	say(c)
	m.Rate(time.Now().Add(time.Second))
	expectWait(t, &m, "just asked", false)
	becomes(t, &m, true)
	becomes(t, &m, false) // after 3 s
	say(s)
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	say(c)
	if info, ok := tcpinfo.Ask(c); !ok || info.Unanswered != 0 {
		t.Errorf("%+v", info)
	}
}

// becomes waits until m says so.
func becomes(t *testing.T, m *traffic.Meter, want bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
		m.Rate(time.Now())
		if m.Waits(time.Now()) == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waits is never %v", want)
		}
	}
}

// What is never acknowledged says that the other side is gone.
func TestLostPackets(t *testing.T) {
	machine, err := netns.ForTest(t).Machine("a")
	if err != nil {
		t.Fatal(err)
	}
	lo := func(state string) {
		t.Helper()
		if err := machine.Run("ip", "link", "set", "lo", state); err != nil {
			t.Fatal(err)
		}
	}
	lo("up")
	l, err := machine.Listen("tcp", "127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var m traffic.Meter
	c, err := m.Watch(machine.Dial)(t.Context(), "tcp", "127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m.Rate(time.Now())
	expectWait(t, &m, "nothing is lost", false)
	lo("down")
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	becomes(t, &m, true)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
		info, ok := tcpinfo.Ask(c)
		if ok && info.Timeouts > 2 {
			break
		}
		if !ok || time.Now().After(deadline) {
			t.Fatalf("sent again %d times", info.Timeouts)
		}
	}
	m.Rate(time.Now().Add(time.Minute))
	expectWait(t, &m, "lost three times", false)
}
