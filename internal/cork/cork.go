// Package cork makes connections cost less where each wake-up brings little: it
// sends TLS records together, and it reads and writes sockets quietly. crypto/tls writes each record of
// 16 KiB by itself, and below some hundred MB/s CPU goes per system call and
// per reader that it wakes, not per byte.
package cork

import (
	"net"
	"sync"
)

// Record is what one TLS record holds: writing more makes several.
const Record = 16 << 10

// Conn goes below a *tls.Conn. It is safe for concurrent use.
type Conn struct {
	net.Conn          // as it was given
	io       net.Conn // the same, quiet

	mu      sync.Mutex // guards what follows, held while sending: crypto/tls may answer a key update meanwhile
	collect bool
	buf     []byte
}

// New wraps c.
func New(c net.Conn) *Conn { return &Conn{Conn: c, io: Quiet(c)} }

// NetConn is the connection below, for who wants to reset it.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) { return c.io.Read(p) }

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.collect {
		return c.io.Write(p)
	}
	c.buf = append(c.buf, p...)
	return len(p), nil
}

// Together runs write and then sends all records that it made at once. A
// failure to send is the error if write had none.
func (c *Conn) Together(write func() (int, error)) (int, error) {
	c.mu.Lock()
	c.collect = true
	c.mu.Unlock()
	n, err := write()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.collect = false
	if len(c.buf) == 0 {
		return n, err
	}
	_, werr := c.io.Write(c.buf)
	c.buf = c.buf[:0]
	if err == nil {
		err = werr
	}
	return n, err
}
