package relay

import (
	"errors"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"dtpx/internal/cork"
)

// quiet tells the kernel not to report c readable below this many bytes. Go's
// poller is edge triggered: each segment that comes wakes a thread, whether
// somebody reads or not, and that costs more than the bytes.
const quiet = 1 << 20

// batch takes from a socket what has gathered there, without waiting.
type batch struct {
	c   *net.TCPConn
	raw syscall.RawConn
}

// newBatch is nil where src cannot be read like that.
func newBatch(src net.Conn) *batch {
	c, ok := src.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	return &batch{c, raw}
}

// hush begins or ends the time in which nothing is reported.
func (b *batch) hush(on bool) {
	n := 1
	if on {
		n = quiet
	}
	_ = b.raw.Control(func(fd uintptr) { _ = cork.SetsockoptNow(fd, unix.SOL_SOCKET, unix.SO_RCVLOWAT, n) })
}

// take returns 0 and no error if there is nothing now.
func (b *batch) take(p []byte) (n int, err error) {
	rerr := b.raw.Read(func(fd uintptr) bool {
		n, err = cork.ReadNow(fd, p)
		return true
	})
	switch {
	case rerr != nil:
		return 0, rerr
	case errors.Is(err, unix.EAGAIN):
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
