package relay

import (
	"errors"
	"io"
	"net"
	"os"
)

// mover moves pieces of one direction, in the kernel where it can.
type mover struct {
	dst, src net.Conn
	buf      *[bufSize]byte // nil: spliced
	short    int64
	limit    func() // before each splice
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
		return &mover{dst: dst, src: src, buf: buffers.Get().(*[bufSize]byte), short: shortRead}
	}
	return &mover{dst: dst, src: src, buf: buffers.Get().(*[bufSize]byte), short: shortRecord}
}

func (m *mover) free() {
	if m.buf != nil {
		buffers.Put(m.buf)
	}
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

// splice relies on io.Copy finding both ends bare.
func (m *mover) splice(limit int64) (int64, error) {
	m.limit()
	n, err := io.CopyN(m.dst, m.src, limit)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil // the watch or the quota decides
	}
	return n, err
}
