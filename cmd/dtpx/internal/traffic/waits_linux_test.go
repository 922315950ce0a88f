package traffic_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtpx/cmd/dtpx/internal/traffic"
)

// lo switches the loopback device of this thread's namespace.
func lo(t *testing.T, state string) {
	t.Helper()
	if out, err := exec.Command("ip", "link", "set", "lo", state).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// What is lost and sent again for want of an answer says that the line is full; what is
// never answered, that the other side is gone.
func TestLostPackets(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("DTPX_FULL") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root to make a network namespace")
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	lo(t, "up")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var m traffic.Meter
	c, err := m.Watch(func(ctx context.Context, network, addr string) (net.Conn, error) {
		return net.DialTCP(network, nil, l.Addr().(*net.TCPAddr)) // on this thread
	})(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m.Rate(time.Now())
	expectWait(t, &m, "nothing is lost", false)
	lo(t, "down")
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, want := range []bool{true, false} { // timeouts one and two; from the third on
		for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
			m.Rate(time.Now())
			if m.Waits(time.Now()) == want {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("never: %v", want)
			}
		}
	}
}
