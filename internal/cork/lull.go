package cork

import (
	"net"
	"syscall"
)

// Lull is a time in which what arrives on a connection is not reported: Go's
// poller is edge triggered, so each segment that comes wakes a thread, whether
// somebody reads or not, and that costs more than the bytes. The end of the
// connection is reported all the same.
type Lull struct{ raw syscall.RawConn }

// LullOf finds the TCP connection below c. It is nil where there is none; a nil
// Lull does nothing.
func LullOf(c net.Conn) *Lull {
	raw := Socket(c)
	if raw == nil || !quietly {
		return nil
	}
	return &Lull{raw}
}

// Begin starts the lull. Reading does not wait for End where more than a
// megabyte has come.
func (l *Lull) Begin() { l.set(lowWater) }

// End reports what has come meanwhile.
func (l *Lull) End() { l.set(1) }

// lowWater is more than gathers in a lull. The kernel makes the receive buffer
// twice as large as it, if the system allows.
const lowWater = 1 << 20

func (l *Lull) set(n int) {
	if l != nil {
		_ = l.raw.Control(func(fd uintptr) { setLowWater(fd, n) })
	}
}
