package cork_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtpx/internal/cork"
)

// TestLull: what comes in a lull is there after it, and the end of the connection
// ends a lull by itself.
func TestLull(t *testing.T) {
	q, far := pair(t)
	l := cork.LullOf(tls.Client(q, &tls.Config{})) // found below any layers
	if l == nil {
		t.Fatal("no socket found")
	}
	got := make(chan string)
	read := func() {
		var b [8]byte
		n, err := q.Read(b[:])
		if errors.Is(err, io.EOF) {
			got <- "EOF"
			return
		}
		got <- string(b[:n])
	}
	for _, s := range []string{"one", "two"} {
		l.Begin()
		go read()
		if _, err := io.WriteString(far, s); err != nil {
			t.Fatal(err)
		}
		l.End()
		if s2 := <-got; s2 != s {
			t.Errorf("read %q after a lull in which %q came", s2, s)
		}
	}
	l.Begin()
	go read()
	far.Close()
	if s := <-got; s != "EOF" {
		t.Errorf("read %q at the end", s)
	}
	l.Begin() // of a connection that has ended
	q.Close()
	l.End()
}

// TestLullIsQuiet: what comes in a lull does not make the socket readable for the
// kernel's poll, by which Go wakes threads.
func TestLullIsQuiet(t *testing.T) {
	q, far := pair(t)
	l := cork.LullOf(q)
	l.Begin()
	if _, err := io.WriteString(far, "x"); err != nil {
		t.Fatal(err)
	}
	lies := func() (n int) {
		cork.Socket(q).Control(func(fd uintptr) {
			var b [1]byte
			n, _, _ = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		})
		return n
	}
	for deadline := time.Now().Add(10 * time.Second); lies() != 1; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the byte has not come")
		}
	}
	readable := func() (n int) {
		cork.Socket(q).Control(func(fd uintptr) {
			n, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		})
		return n
	}
	if readable() != 0 {
		t.Error("reported in a lull")
	}
	l.End()
	if readable() != 1 {
		t.Error("not reported after a lull")
	}
}

// TestLullNone: where there is no socket, a lull is nothing.
func TestLullNone(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	l := cork.LullOf(a)
	l.Begin()
	l.End()
	if l != nil {
		t.Error("a pipe has a lull")
	}
}
