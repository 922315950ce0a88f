package cork_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"

	"dtpx/internal/cork"
)

// TestLull: what comes in a lull is there after it, and the end of the connection
// ends a lull by itself.
func TestLull(t *testing.T) {
	q, far := pair(t)
	l := cork.LullOf(tls.Client(q, &tls.Config{})) // found below any layers
	if l == nil {
		t.Skip("no lulls on this system")
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
