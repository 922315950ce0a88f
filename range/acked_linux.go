package ranges

import (
	"net"

	"golang.org/x/sys/unix"
)

// unacked reports that the far side has not acknowledged all that was sent on c,
// or that c is closed already.
func unacked(c net.Conn) bool {
	for {
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = inner.NetConn()
	}
	t, ok := c.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return false
	}
	var info *unix.TCPInfo
	if cerr := raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); cerr != nil {
		return true
	} else if err != nil {
		return false
	}
	return info.Unacked > 0
}
