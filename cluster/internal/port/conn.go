package port

import (
	"crypto/tls"
	"net"
	"sync"
	"time"

	"dtpx/cluster/internal/group"
)

// Conn is an authenticated stream between two members.
type Conn struct {
	*tls.Conn
	Peer group.NodeID
	Kind string
	raw  *corked
	port *Port
}

// Close says goodbye and closes.
func (c *Conn) Close() error {
	c.port.forget(c)
	return c.Conn.Close()
}

// Write sends p as few large writes: crypto/tls writes each record of 16 KiB
// by itself, and CPU goes per system call.
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) <= recordMax {
		return c.Conn.Write(p)
	}
	return c.raw.together(func() (int, error) { return c.Conn.Write(p) })
}

// NetConn is the connection below, for who wants to reset it.
func (c *Conn) NetConn() net.Conn { return c.raw.Conn }

// recordMax is what one TLS record holds.
const recordMax = 16 << 10

// corked is a connection that can collect what is written to it.
type corked struct {
	net.Conn

	mu      sync.Mutex // guards what follows, held while sending: crypto/tls may answer a key update meanwhile
	collect bool
	buf     []byte
}

func (c *corked) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.collect {
		return c.Conn.Write(p)
	}
	c.buf = append(c.buf, p...)
	return len(p), nil
}

// together runs f and then sends all that it wrote.
func (c *corked) together(f func() (int, error)) (int, error) {
	c.mu.Lock()
	c.collect = true
	c.mu.Unlock()
	n, err := f()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.collect = false
	_, werr := c.Conn.Write(c.buf)
	c.buf = c.buf[:0]
	if err == nil {
		err = werr
	}
	return n, err
}

// keepAlive finds members that vanished: a sleeping laptop says nothing.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

func tune(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetKeepAliveConfig(keepAlive)
	}
}
