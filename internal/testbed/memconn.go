package testbed

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// half is one direction of a connection over a link. Everything waits in await,
// on wake or until a time; bump wakes all.
type half struct {
	link *Link
	up   bool

	mu       sync.Mutex
	wake     chan struct{} // closed and replaced by bumpLocked
	queue    []chunk       // on the link or unread
	size     int
	last     time.Time // latest arrival: nothing overtakes
	pushed   int64
	shut     bool      // no more writes
	readerAt time.Time // when the writer learns that nobody reads; zero = somebody does
	gone     bool      // nobody reads
	err      error     // reset
	rdl, wdl time.Time // deadlines
}

type chunk struct {
	data []byte
	at   time.Time
	eof  bool
}

func (l *Link) pipe(local, remote string) (client, server *memConn) {
	up := &half{link: l, up: true, wake: make(chan struct{})}
	down := &half{link: l, wake: make(chan struct{})}
	l.mu.Lock()
	l.halves[up], l.halves[down] = true, true
	l.mu.Unlock()
	client = &memConn{in: down, out: up, local: memAddr(local), remote: memAddr(remote)}
	server = &memConn{in: up, out: down, local: memAddr(remote), remote: memAddr(local)}
	return client, server
}

func (h *half) bump() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bumpLocked()
}

func (h *half) bumpLocked() {
	close(h.wake)
	h.wake = make(chan struct{})
}

// await runs step, with mu held, until it is done or fails. When it is neither,
// step says when to look again, or zero for when something changes.
func (h *half) await(deadline *time.Time, step func(now time.Time) (done bool, again time.Time, err error)) error {
	for {
		h.mu.Lock()
		now := time.Now()
		done, again, err := false, time.Time{}, error(os.ErrDeadlineExceeded)
		if d := *deadline; d.IsZero() || now.Before(d) {
			done, again, err = step(now)
			if !d.IsZero() && (again.IsZero() || d.Before(again)) {
				again = d
			}
		}
		wake := h.wake
		h.mu.Unlock()
		if done || err != nil {
			return err
		}
		sleep(wake, again, now)
	}
}

func sleep(wake <-chan struct{}, until, now time.Time) {
	if until.IsZero() {
		<-wake
		return
	}
	t := time.NewTimer(until.Sub(now))
	defer t.Stop()
	select {
	case <-wake:
	case <-t.C:
	}
}

func (h *half) read(p []byte) (n int, err error) {
	err = h.await(&h.rdl, func(now time.Time) (bool, time.Time, error) {
		_, frozen, _ := h.link.state()
		switch {
		case h.gone:
			return false, time.Time{}, net.ErrClosed
		case h.err != nil:
			return false, time.Time{}, h.err
		case len(p) == 0:
			return true, time.Time{}, nil
		case len(h.queue) == 0 || frozen:
			return false, time.Time{}, nil
		case h.queue[0].at.After(now):
			return false, h.queue[0].at, nil
		case h.queue[0].eof:
			return false, time.Time{}, io.EOF
		}
		n = h.takeLocked(p, now)
		return true, time.Time{}, nil
	})
	return n, err
}

func (h *half) takeLocked(p []byte, now time.Time) (n int) {
	for n < len(p) && len(h.queue) > 0 && !h.queue[0].eof && !h.queue[0].at.After(now) {
		c := &h.queue[0]
		k := copy(p[n:], c.data)
		n += k
		if c.data = c.data[k:]; len(c.data) == 0 {
			h.queue = h.queue[1:]
		}
	}
	h.size -= n
	h.bumpLocked()
	return n
}

func (h *half) write(p []byte) (done int, err error) {
	for done < len(p) {
		n, err := h.writePiece(p[done:])
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// writePiece waits for room in the window, then for its turn on the link.
func (h *half) writePiece(p []byte) (n int, err error) {
	var leave time.Time
	err = h.await(&h.wdl, func(now time.Time) (bool, time.Time, error) {
		s, frozen, _ := h.link.state()
		if again, err := h.writableLocked(now); err != nil || frozen || h.size >= s.Window {
			return false, again, err
		}
		if leave.IsZero() {
			n = min(len(p), s.Window-h.size, h.pieceLocked(s))
			leave = h.link.carry(h.up, n)
		}
		if leave.After(now) {
			return false, leave, nil
		}
		h.pushLocked(chunk{data: append([]byte(nil), p[:n]...), at: h.link.arrival()}, now)
		return true, time.Time{}, nil
	})
	if err != nil {
		n = 0
	}
	return n, err
}

func (h *half) pieceLocked(s Shape) int {
	rate := s.Down
	if h.up {
		rate = s.Up
	}
	if rate <= 0 {
		return 64 << 10
	}
	return piece(rate)
}

// writableLocked fails if nobody reads and word of it has come back.
func (h *half) writableLocked(now time.Time) (again time.Time, err error) {
	switch {
	case h.shut:
		return again, net.ErrClosed
	case h.err != nil:
		return again, h.err
	case h.gone && !now.Before(h.readerAt):
		return again, syscall.ECONNRESET
	}
	return h.readerAt, nil
}

func (h *half) pushLocked(c chunk, now time.Time) {
	if h.gone {
		h.pushed += int64(len(c.data)) // crosses the link all the same
		return
	}
	if c.at.Before(h.last) {
		c.at = h.last
	}
	h.last = c.at
	h.queue = append(h.queue, c)
	h.size += len(c.data)
	h.pushed += int64(len(c.data))
	h.bumpLocked()
}

// shutdown ends the stream behind what was written.
func (h *half) shutdown() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.shut {
		h.shut = true
		h.pushLocked(chunk{eof: true, at: h.link.arrival()}, time.Now())
		h.bumpLocked()
	}
}

// abandon is the reader's close; the writer hears of it a delay later.
func (h *half) abandon() {
	at := h.link.arrival()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.gone {
		h.gone, h.readerAt, h.queue, h.size = true, at, nil, 0
		h.bumpLocked()
	}
}

func (h *half) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = err
		h.bumpLocked()
	}
}

// arrived is how many of the bytes pushed have crossed the link.
func (h *half) arrived() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, now := h.pushed, time.Now()
	for _, c := range h.queue {
		if c.at.After(now) {
			n -= int64(len(c.data))
		}
	}
	return n
}

// memConn is one end of a connection in a MemNet.
type memConn struct {
	in, out       *half
	local, remote memAddr
	linger        atomic.Bool // SetLinger(0): Close resets
	once          sync.Once
}

func (c *memConn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.wrap("read", err)
}

func (c *memConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

func (c *memConn) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

func (c *memConn) LocalAddr() net.Addr  { return c.local }
func (c *memConn) RemoteAddr() net.Addr { return c.remote }

// BytesAcked is what the other end has of what this one wrote.
func (c *memConn) BytesAcked() int64 { return c.out.arrived() }

// SetLinger with 0 makes Close a reset, as *net.TCPConn does.
func (c *memConn) SetLinger(sec int) error { c.linger.Store(sec == 0); return nil }

func (c *memConn) CloseWrite() error { c.out.shutdown(); return nil }

func (c *memConn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = nil
		if c.linger.Load() {
			c.reset()
		}
		c.out.shutdown()
		c.in.abandon()
		l := c.in.link
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.halves, c.in) // the reading end's: what is on its way out stays
	})
	return err
}

func (c *memConn) reset() {
	c.out.fail(syscall.ECONNRESET)
	c.in.fail(syscall.ECONNRESET)
}

func (c *memConn) SetReadDeadline(t time.Time) error  { c.in.deadline(&c.in.rdl, t); return nil }
func (c *memConn) SetWriteDeadline(t time.Time) error { c.out.deadline(&c.out.wdl, t); return nil }

func (c *memConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (h *half) deadline(d *time.Time, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*d = t
	h.bumpLocked()
}
