package relay

import (
	"net"

	"golang.org/x/sys/unix"
)

// wanBytes asks the kernel what a socket received, read or not, and what it
// sent, repetitions included.
func wanBytes(c net.Conn) (received, sent int64, ok bool) {
	t, isTCP := c.(*net.TCPConn)
	if !isTCP {
		return 0, 0, false
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return 0, 0, false
	}
	var info *unix.TCPInfo
	cerr := raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if cerr != nil || err != nil {
		return 0, 0, false
	}
	return int64(info.Bytes_received) - 1, int64(info.Bytes_sent), true // a FIN counts as a byte received
}
