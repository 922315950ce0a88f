package cork_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"dtpx/internal/cork"
)

// pair is the two ends of a TCP connection, the first one quiet.
func pair(t *testing.T) (q, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if far, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return cork.Quiet(near), far
}

// TestQuietCarriesAll sends more than any buffer holds both ways at once, so that
// both sides have to wait in the middle.
func TestQuietCarriesAll(t *testing.T) {
	q, far := pair(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	echoed := make(chan error, 1)
	go func() {
		_, err := io.Copy(far, far)
		far.(*net.TCPConn).CloseWrite()
		echoed <- err
	}()
	go func() {
		q.Write(sent)
		closeWrite(q)
	}()
	got, err := io.ReadAll(q)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes, %v", len(got), len(sent), err)
	}
	if err := <-echoed; err != nil {
		t.Error(err)
	}
}

func closeWrite(c net.Conn) {
	if q, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = q.NetConn()
	}
	c.(*net.TCPConn).CloseWrite()
}

func TestQuietErrors(t *testing.T) {
	q, far := pair(t)
	var one [1]byte
	q.SetReadDeadline(time.Unix(1, 0))
	if _, err := q.Read(one[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read past its deadline: %v", err)
	}
	q.SetReadDeadline(time.Time{})
	if n, err := q.Read(nil); n != 0 || err != nil {
		t.Errorf("read of nothing: %d %v", n, err)
	}
	far.(*net.TCPConn).SetLinger(0)
	far.Close()
	if _, err := q.Read(one[:]); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a reset is %v", err)
	}
	q.Close()
	if _, err := q.Write(one[:]); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	if _, err := q.Read(one[:]); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
}

// TestQuietTCPOnly: what is no TCP connection is left as it is.
func TestQuietTCPOnly(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if cork.Quiet(a) != a {
		t.Error("a pipe was wrapped")
	}
}
