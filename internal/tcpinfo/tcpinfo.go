// Package tcpinfo asks the kernel what a TCP connection has moved.
package tcpinfo

import (
	"net"
	"time"
)

// Info is of one connection.
type Info struct {
	Received, Sent int64 // bytes, read or not, repetitions of what was sent included
	Timeouts       int   // how often in a row what was sent had to be sent again for want of an acknowledgement
	// Unanswered is how long ago something was sent last, where nothing at all has come.
	Unanswered time.Duration
}

// Ask asks about c. ok is false for what is closed or no TCP socket, and where the
// system does not say.
func Ask(c net.Conn) (info Info, ok bool) {
	t, isTCP := c.(*net.TCPConn)
	if !isTCP {
		return Info{}, false
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return Info{}, false
	}
	return ask(raw)
}
