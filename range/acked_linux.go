package ranges

import (
	"net"
	"time"

	"golang.org/x/sys/unix"

	"dtpx/internal/cork"
)

// unackedFor is how long the far side has said nothing, in milliseconds: on a connection
// with other requests something is always on its way.
const unackedFor = 1000

// unacked reports that the far side has not acknowledged all that was sent on c, and
// nothing at all lately, or that c is closed already.
func unacked(c net.Conn) bool {
	info, closed := tcpInfo(c)
	return closed || info != nil && info.Unacked > 0 && info.Last_ack_recv >= unackedFor
}

// roundTrip is the path's as the kernel knows it, without what a server needs to answer;
// 0 = it does not.
func roundTrip(c net.Conn) time.Duration {
	if info, _ := tcpInfo(c); info != nil {
		return time.Duration(info.Rtt) * time.Microsecond
	}
	return 0
}

// tcpInfo is nil for what is closed or no TCP socket.
func tcpInfo(c net.Conn) (info *unix.TCPInfo, closed bool) {
	raw := cork.Socket(c)
	if raw == nil {
		return nil, false
	}
	var err error
	closed = raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}) != nil
	if err != nil || closed {
		return nil, closed
	}
	return info, false
}
