package testbed

import (
	"net"

	"golang.org/x/sys/unix"
)

// tcpAcked is tcpi_bytes_acked: what the peer's kernel has, which a close by the
// peer leaves right while the bytes written do not. -1 if the socket is gone.
func tcpAcked(c *net.TCPConn) int64 {
	if info := tcpInfo(c); info != nil {
		return int64(info.Bytes_acked)
	}
	return -1
}

// tcpGone says that the connection is over and nothing more will be acknowledged.
func tcpGone(c *net.TCPConn) bool {
	info := tcpInfo(c)
	return info == nil || info.State == unix.BPF_TCP_CLOSE
}

func tcpInfo(c *net.TCPConn) (info *unix.TCPInfo) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if err != nil {
		return nil
	}
	return info
}
