package relay

import (
	"errors"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"dtpx/internal/cork"
)

// batch takes from a socket what has gathered there, without waiting.
type batch struct {
	*cork.Lull
	raw syscall.RawConn
}

// newBatch is nil where src cannot be read like that.
func newBatch(src net.Conn) *batch {
	raw := cork.Socket(src)
	if raw == nil {
		return nil
	}
	return &batch{cork.LullOf(src), raw}
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
