package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"dtpx/internal/cork"
)

// mover moves pieces of one direction, in the kernel where it can.
type mover struct {
	dst, src net.Conn
	buf      *[bufSize]byte // nil: spliced
	short    int64
	limit    func()     // before each splice
	lull     *cork.Lull // of src, if that is a socket; nil: sleep
}

func (t *tunnel) mover(dst, src net.Conn) *mover {
	_, from := src.(*net.TCPConn)
	_, to := dst.(*net.TCPConn)
	switch {
	case from && to:
		// A splice returns when its piece is full; half the idle time is how
		// long a trickle may go unseen.
		return &mover{dst: dst, src: src, limit: func() { t.limit(src, t.s.Idle/2) }}
	case from:
		return &mover{dst: dst, src: cork.Quiet(src), buf: buffers.Get().(*[bufSize]byte), short: bufSize, lull: cork.LullOf(src)}
	}
	return &mover{dst: dst, src: src, buf: buffers.Get().(*[bufSize]byte), short: shortRecord}
}

func (m *mover) free() {
	if m.buf != nil {
		buffers.Put(m.buf)
	}
	m.lull.Close()
}

// piece moves up to limit bytes and returns io.EOF at the end of src.
func (m *mover) piece(limit int64) (int64, error) {
	if m.buf == nil {
		return m.splice(limit)
	}
	n, err := m.src.Read(m.buf[:limit])
	if n > 0 {
		if _, werr := m.dst.Write(m.buf[:n]); werr != nil {
			return int64(n), werr
		}
	}
	return int64(n), err
}

// gather lets src fill up to n bytes, or for d where it is slower than that. It
// reports whether to go on.
func (m *mover) gather(ctx context.Context, n int, d time.Duration) bool {
	if m.lull.Wait(n, d) {
		return ctx.Err() == nil
	}
	return sleep(ctx, d)
}

// splice relies on io.Copy finding both ends bare.
func (m *mover) splice(limit int64) (int64, error) {
	m.limit()
	n, err := io.CopyN(m.dst, m.src, limit)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil // the watch or the quota decides
	}
	return n, err
}
