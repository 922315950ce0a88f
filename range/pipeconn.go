package ranges

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"dtpx/internal/cork"
)

const (
	// idleTime is how long an unused connection is kept; servers often keep it
	// for a minute or more.
	idleTime = 30 * time.Second
	// headerMax and interimMax are net/http's: bytes of a header section, and
	// 1xx answers before the one that counts.
	headerMax  = 10 << 20
	interimMax = 5
)

// pipeConn is one connection of a pipe. Its requests take turns: they are
// written in the order in which their answers are read, the next one at most
// while an answer is read.
type pipeConn struct {
	net.Conn
	site  string // scheme and host
	limit int64  // of a header section
	in    headerReader
	r     *bufio.Reader // belongs to whose turn it is
	lull  *cork.Lull    // likewise

	mu     sync.Mutex
	turn   *turn // whose answer is being read
	doomed bool  // to be closed when that has ended
	closed bool
	ending bool // it is closed by who unlocks
	idle   *time.Timer
}

// headerReader ends with an error after left bytes: header sections are bounded.
type headerReader struct {
	io.Reader
	left int64
}

func (h *headerReader) Read(p []byte) (int, error) {
	if h.left <= 0 {
		return 0, errors.New("header section too long")
	}
	n, err := h.Reader.Read(p[:min(int64(len(p)), h.left)])
	h.left -= int64(n)
	return n, err
}

func newPipeConn(conn net.Conn, site string, limit int64) *pipeConn {
	c := &pipeConn{Conn: conn, site: site, limit: limit, lull: cork.LullOf(conn)}
	if c.limit <= 0 {
		c.limit = headerMax
	}
	c.in.Reader = conn
	c.r = bufio.NewReader(&c.in)
	return c
}

// turn is the time in which one request's answer is read, and its body.
type turn struct {
	c    *pipeConn
	ctx  context.Context
	stop func() bool
	body io.ReadCloser
	sent time.Time
	took time.Duration // until the first byte of the answer
	keep bool          // the connection can go on after it
	next bool          // and another request may be sent meanwhile; guarded by c.mu
	over chan struct{} // closed when it has ended
}

// begin makes a turn for a request; nil if the connection has ended.
func (c *pipeConn) begin(ctx context.Context) *turn {
	c.mu.Lock()
	defer c.unlock()
	if c.idle != nil {
		c.idle.Stop()
		c.idle = nil
	}
	if c.closed || c.doomed {
		c.closeLocked()
		return nil
	}
	t := &turn{c: c, ctx: ctx, over: make(chan struct{}), sent: time.Now()}
	c.turn = t
	t.stop = context.AfterFunc(ctx, t.abort)
	return t
}

// abort closes the connection under a request that is given up.
func (t *turn) abort() {
	t.c.mu.Lock()
	defer t.c.unlock()
	if t.c.turn == t {
		t.c.closeLocked()
	}
}

// end lets the next request have its turn, or closes the connection.
func (t *turn) end(whole bool) {
	c := t.c
	c.mu.Lock()
	defer c.unlock()
	if c.turn != t {
		return
	}
	t.stop()
	c.turn = nil
	if !whole || !t.keep || c.doomed {
		c.closeLocked()
	} else {
		c.idle = time.AfterFunc(idleTime, c.expire)
	}
	close(t.over)
}

// fail ends t; the error is the context's if that has ended it.
func (t *turn) fail(err error) error {
	t.end(false)
	if e := t.ctx.Err(); e != nil {
		return e
	}
	return err
}

// bears reports whether another request may be sent now, and behind which one.
func (c *pipeConn) bears() (t *turn, ok bool) {
	c.mu.Lock()
	defer c.unlock()
	return c.turn, !c.doomed && !c.closed && (c.turn == nil || c.turn.next)
}

// doom closes the connection as soon as no answer is being read.
func (c *pipeConn) doom() {
	c.mu.Lock()
	defer c.unlock()
	if c.doomed = true; c.turn == nil {
		c.closeLocked()
	}
}

func (c *pipeConn) expire() {
	c.mu.Lock()
	defer c.unlock()
	if c.turn == nil && c.idle != nil {
		c.closeLocked()
	}
}

func (c *pipeConn) closeLocked() {
	if c.idle != nil {
		c.idle.Stop()
	}
	c.ending = c.ending || !c.closed
	c.closed = true
}

// unlock ends what closeLocked has begun: TLS says good-bye, which may take
// seconds where the line is dead.
func (c *pipeConn) unlock() {
	ending := c.ending
	c.ending = false
	c.mu.Unlock()
	if ending {
		c.lull.Close()
		c.Conn.Close()
	}
}

func (c *pipeConn) write(req *http.Request) error {
	w := bufio.NewWriter(c.Conn)
	err := req.Write(w)
	if err == nil {
		err = w.Flush()
	}
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.WroteRequest != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
	return err
}

// answer reads the header section of the answer to req, whose body t becomes.
func (t *turn) answer(req *http.Request) (*http.Response, error) {
	c := t.c
	for range interimMax + 1 {
		c.in.left = c.limit
		if _, err := c.r.Peek(1); err != nil {
			return nil, t.fail(&unanswered{err})
		}
		t.took = time.Since(t.sent)
		if trace := httptrace.ContextClientTrace(t.ctx); trace != nil && trace.GotFirstResponseByte != nil {
			trace.GotFirstResponseByte()
		}
		resp, err := http.ReadResponse(c.r, req)
		switch {
		case err != nil:
			return nil, t.fail(err)
		case resp.StatusCode == http.StatusSwitchingProtocols:
			return nil, t.fail(errors.New("another protocol than asked for"))
		case resp.StatusCode >= 200:
			c.in.left = math.MaxInt64
			t.carry(resp)
			return resp, nil
		}
	}
	return nil, t.fail(errors.New("interim answers without an end"))
}

// carry makes t the body of resp. Only where it is known to the byte where that
// ends may another request be on its way meanwhile.
func (t *turn) carry(resp *http.Response) {
	t.body = resp.Body
	resp.Body = t
	t.c.mu.Lock()
	t.keep = !resp.Close
	t.next = t.keep && resp.StatusCode == http.StatusPartialContent && resp.ContentLength > 0
	t.c.mu.Unlock()
	if resp.ContentLength == 0 {
		t.end(true)
	}
}

// Read implements io.Reader.
func (t *turn) Read(p []byte) (int, error) {
	n, err := t.body.Read(p)
	if err == io.EOF {
		t.end(true)
	} else if err != nil {
		err = t.fail(err)
	}
	return n, err
}

// Close implements io.Closer. A body that has not been read to its end takes
// the connection with it.
func (t *turn) Close() error {
	t.end(false)
	return nil
}
