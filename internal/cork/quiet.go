package cork

import (
	"io"
	"net"
	"syscall"
)

// quiet reads and writes a socket by system calls that the scheduler of Go is
// not told about. It watches others (runtime.sysmon, which each of them wakes,
// up to 50,000 times a second for as long as anything runs) because they may
// block; on a socket that is ready these cannot. At some MB/s, where each
// wake-up brings little, that watching was a quarter of the CPU time.
type quiet struct {
	net.Conn
	raw syscall.RawConn
}

// Quiet returns c with quiet reads and writes where the system has them and c
// is a TCP connection, otherwise c itself. NetConn of the result is c.
func Quiet(c net.Conn) net.Conn {
	t, ok := c.(*net.TCPConn)
	if !ok || !quietly {
		return c
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return c
	}
	return &quiet{c, raw}
}

// Socket is the socket of the TCP connection below c, through all layers that
// have a NetConn method; nil if there is none.
func Socket(c net.Conn) syscall.RawConn {
	t := bare(c)
	if t == nil {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// bare is the TCP connection below c, nil if there is none.
func bare(c net.Conn) *net.TCPConn {
	for {
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = inner.NetConn()
	}
	t, _ := c.(*net.TCPConn)
	return t
}

// NetConn is the connection below, for who wants to reset it.
func (q *quiet) NetConn() net.Conn { return q.Conn }

// Read implements net.Conn.
func (q *quiet) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	werr := q.raw.Read(func(fd uintptr) bool {
		n, err = readNow(fd, p)
		return err != syscall.EAGAIN
	})
	switch {
	case werr != nil:
		return 0, werr
	case err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: q.LocalAddr(), Addr: q.RemoteAddr(), Err: err}
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write implements net.Conn.
func (q *quiet) Write(p []byte) (n int, err error) {
	werr := q.raw.Write(func(fd uintptr) bool {
		for n < len(p) {
			var k int
			if k, err = writeNow(fd, p[n:]); err != nil {
				return err != syscall.EAGAIN
			}
			n += k
		}
		return true
	})
	switch {
	case werr != nil:
		return n, werr
	case err != nil:
		return n, &net.OpError{Op: "write", Net: "tcp", Source: q.LocalAddr(), Addr: q.RemoteAddr(), Err: err}
	}
	return n, nil
}
