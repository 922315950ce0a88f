package netns

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// What a machine serves is sent as Linux does by default.
func TestCongestionControl(t *testing.T) {
	m := must[*Machine](t)(ForTest(t).Machine("a"))
	if err := m.Run("ip", "link", "set", "lo", "up"); err != nil {
		t.Fatal(err)
	}
	ln := must[net.Listener](t)(m.Listen("tcp", "127.0.0.1:80"))
	defer ln.Close()
	c := must[net.Conn](t)(m.Dial(t.Context(), "tcp", "127.0.0.1:80"))
	defer c.Close()
	s := must[net.Conn](t)(ln.Accept())
	defer s.Close()
	raw, err := s.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got string
	if cerr := raw.Control(func(fd uintptr) { got, err = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	if got != "cubic" {
		t.Errorf("sends by %s", got)
	}
}
