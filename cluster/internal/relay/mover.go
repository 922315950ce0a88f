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
	batch    *batch // of a slow src that is a socket; nil: read as it comes
	hushed   bool
	empty    int // reads in a row that found nothing
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
		return &mover{dst: dst, src: src, buf: buffers.Get().(*[bufSize]byte), short: bufSize, batch: newBatch(src)}
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
	n, err := m.read(m.buf[:limit])
	if n > 0 {
		if _, werr := m.dst.Write(m.buf[:n]); werr != nil {
			return int64(n), werr
		}
	}
	return int64(n), err
}

// emptyMax pauses without a byte end the gathering: the flow has stopped.
const emptyMax = 2

// read takes what has gathered, which may be nothing; if that happens again and
// again, it waits for a byte.
func (m *mover) read(p []byte) (int, error) {
	if m.hushed {
		n, err := m.batch.take(p)
		if n > 0 || err != nil {
			m.empty = 0
			return n, err
		}
		if m.empty++; m.empty < emptyMax {
			return 0, nil
		}
		m.hushed, m.empty = false, 0
		m.batch.End()
	}
	return m.src.Read(p)
}

// gather is called before a pause in which src may fill up.
func (m *mover) gather() {
	if m.batch != nil && !m.hushed {
		m.hushed = true
		m.batch.Begin()
	}
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
