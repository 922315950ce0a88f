package port

import (
	"crypto/tls"
	"net"
	"time"

	"dtpx/cluster/internal/group"
	"dtpx/internal/cork"
)

// Conn is an authenticated stream between two members.
type Conn struct {
	*tls.Conn
	Peer group.NodeID
	Kind string
	raw  *cork.Conn
	port *Port
}

// Close says goodbye and closes.
func (c *Conn) Close() error {
	c.port.forget(c)
	return c.Conn.Close()
}

// Write sends the records of p together.
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) <= cork.Record {
		return c.Conn.Write(p)
	}
	return c.raw.Together(func() (int, error) { return c.Conn.Write(p) })
}

// NetConn is the connection below, for who wants to reset it.
func (c *Conn) NetConn() net.Conn { return c.raw.Conn }

// keepAlive finds members that vanished: a sleeping laptop says nothing.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

func tune(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetKeepAliveConfig(keepAlive)
	}
}
