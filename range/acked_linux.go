package ranges

import (
	"net"

	"golang.org/x/sys/unix"

	"dtpx/internal/cork"
)

// unacked reports that the far side has not acknowledged all that was sent on c,
// or that c is closed already.
func unacked(c net.Conn) bool {
	raw := cork.Socket(c)
	if raw == nil {
		return false
	}
	var info *unix.TCPInfo
	var err error
	if cerr := raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); cerr != nil {
		return true
	} else if err != nil {
		return false
	}
	return info.Unacked > 0
}
