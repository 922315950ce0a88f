package testbed

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is one accepted connection: paced, counted, and able to reset itself.
type conn struct {
	net.Conn
	id     int64
	ip     netip.Addr
	over   Policy // set once on accept: what a connection above the limit meets
	o      *Origin
	own    bucket
	perIP  *bucket
	ctx    context.Context // ends with the connection, so that paced writes do
	cancel context.CancelFunc

	sent     atomic.Int64 // bytes given to the kernel
	requests atomic.Int64
	once     sync.Once

	mu    sync.Mutex
	acked int64 // after Close: final
	done  bool
}

func (c *conn) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := c.o.pace.next(c.ctx, &c.own, c.perIP, len(p)-done)
		if err != nil {
			return done, net.ErrClosed
		}
		n, err = c.Conn.Write(p[done : done+n])
		done += n
		c.sent.Add(int64(n))
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, syscall.ECONNRESET) {
		c.o.conns.count(func(s *ConnStats) { s.PeerResets++ })
	}
	return n, err
}

// Close closes as seen by the peer at once. The socket itself may live on for a
// moment, until it is known what the peer acknowledged.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		c.cancel()
		c.o.conns.remove(c)
		if t, ok := c.Conn.(*net.TCPConn); ok && c.unacked(c.sent.Load()) > 0 && t.CloseWrite() == nil {
			c.o.busy.run(c.linger)
			err = nil
			return
		}
		err = c.finish()
	})
	return err
}

// linger waits until the peer has everything, reset the connection, or takes too long.
func (c *conn) linger() {
	defer c.finish()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 400 {
		if c.unacked(c.sent.Load()) <= 0 || tcpGone(c.Conn.(*net.TCPConn)) {
			return
		}
		select {
		case <-tick.C:
		case <-c.o.ctx.Done():
			return
		}
	}
}

// Reset closes with a TCP RST.
func (c *conn) Reset() {
	if l, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		l.SetLinger(0)
	}
	c.o.conns.count(func(s *ConnStats) { s.Resets++ })
	c.once.Do(func() {
		c.cancel()
		c.o.conns.remove(c)
		c.finish()
	})
}

// finish notes what was acknowledged before the kernel forgets it.
func (c *conn) finish() error {
	c.mu.Lock()
	c.acked, c.done = acknowledged(c.Conn), true
	c.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite is kept visible for net/http, which says goodbye with it.
func (c *conn) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}

// unacked is how many of the first upTo bytes sent the peer has not acknowledged;
// -1 where nobody knows.
func (c *conn) unacked(upTo int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	acked := c.acked
	if _, mem := c.Conn.(interface{ BytesAcked() int64 }); mem || !c.done {
		acked = acknowledged(c.Conn)
	}
	if acked < 0 {
		return -1
	}
	return max(0, upTo-acked)
}

// acknowledged asks the connection (a MemNet's) or the kernel; -1 = unknown.
func acknowledged(c net.Conn) int64 {
	if m, ok := c.(interface{ BytesAcked() int64 }); ok {
		return m.BytesAcked()
	}
	if t, ok := c.(*net.TCPConn); ok {
		return tcpAcked(t)
	}
	return -1
}

type connKey struct{}

// withConn puts our conn, which TLS may have wrapped, into the request's context.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(ctx context.Context) *conn { return ctx.Value(connKey{}).(*conn) }

func addrOf(a net.Addr) netip.Addr {
	if ap, err := netip.ParseAddrPort(a.String()); err == nil {
		return ap.Addr().Unmap()
	}
	return netip.Addr{}
}
