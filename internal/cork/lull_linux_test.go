package cork_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtpx/internal/cork"
)

const long = time.Minute // no test waits for it

// lull is of the near end, found below any layers.
func lull(t *testing.T, near net.Conn) *cork.Lull {
	t.Helper()
	l := cork.LullOf(tls.Client(near, &tls.Config{}))
	if l == nil {
		t.Fatal("no socket found")
	}
	t.Cleanup(l.Close)
	return l
}

// waiting starts a wait and returns what is closed when it is over.
func waiting(t *testing.T, l *cork.Lull, n int, d time.Duration) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		if !l.Wait(n, d) {
			t.Error("could not wait")
		}
	}()
	return over
}

func say(t *testing.T, c net.Conn, n int) {
	t.Helper()
	if _, err := c.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
}

// arrived waits until n bytes lie in the socket.
func arrived(t *testing.T, c net.Conn, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); lies(c) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d bytes have come", lies(c), n)
		}
	}
}

// ended waits until the socket knows that the stream has ended.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	poll := []unix.PollFd{{Events: unix.POLLRDHUP}}
	cork.Socket(c).Control(func(fd uintptr) {
		poll[0].Fd = int32(fd)
		if n, err := unix.Poll(poll, 10_000); n != 1 {
			t.Fatalf("has not ended: %d %v", n, err)
		}
	})
}

func lies(c net.Conn) (n int) {
	cork.Socket(c).Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n
}

// TestLullEnds: each thing that ends a lull does, and nothing else.
func TestLullEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit time.Duration
		early func(t *testing.T, near, far net.Conn) // before the lull begins
		first func(t *testing.T, far net.Conn)       // does not end it
		last  func(t *testing.T, near, far net.Conn)
	}{
		{"enough comes", long, nil,
			func(t *testing.T, far net.Conn) { say(t, far, 999) },
			func(t *testing.T, _, far net.Conn) { say(t, far, 1) }},
		{"enough is there", long,
			func(t *testing.T, near, far net.Conn) { say(t, far, 1000); arrived(t, near, 1000) }, nil, nil},
		{"less is there, the rest comes", long,
			func(t *testing.T, near, far net.Conn) { say(t, far, 900); arrived(t, near, 900) }, nil,
			func(t *testing.T, _, far net.Conn) { say(t, far, 100) }},
		{"time is up", 20 * time.Millisecond,
			func(t *testing.T, near, far net.Conn) { say(t, far, 1); arrived(t, near, 1) }, nil, nil},
		{"time is up and nothing is there", 20 * time.Millisecond, nil, nil, nil},
		{"the end", long, nil,
			func(t *testing.T, far net.Conn) { say(t, far, 1) },
			func(t *testing.T, _, far net.Conn) { far.Close() }},
		{"the end before it", long,
			func(t *testing.T, near, far net.Conn) { far.Close(); ended(t, near) }, nil, nil},
		{"a reset", long, nil,
			func(t *testing.T, far net.Conn) { say(t, far, 1) },
			func(t *testing.T, _, far net.Conn) { far.(*net.TCPConn).SetLinger(0); far.Close() }},
		{"a reset before it", long,
			func(t *testing.T, near, far net.Conn) {
				far.(*net.TCPConn).SetLinger(0)
				far.Close()
				ended(t, near)
			}, nil, nil},
		{"a read deadline", long, nil, nil,
			func(_ *testing.T, near, _ net.Conn) { near.SetReadDeadline(time.Unix(1, 0)) }},
		{"closed by us", long, nil, nil, func(_ *testing.T, near, _ net.Conn) { near.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			near, far := pair(t)
			l := lull(t, near)
			if c.early != nil {
				c.early(t, near, far)
			}
			over := waiting(t, l, 1000, c.limit)
			if c.first != nil {
				c.first(t, far)
				arrived(t, near, 1)
				select {
				case <-over:
					t.Fatal("over too soon")
				case <-time.After(20 * time.Millisecond): // a chance to be wrong
				}
			}
			if c.last != nil {
				c.last(t, near, far)
			}
			select {
			case <-over:
			case <-time.After(10 * time.Second):
				t.Fatal("not over")
			}
			if c.limit < long {
				say(t, far, 1)
				if _, err := near.Read(make([]byte, 1)); err != nil {
					t.Errorf("read after it: %v", err)
				}
			}
		})
	}
}

// TestLullKeepsAll: lulls of all kinds lose no byte and end with io.EOF.
func TestLullKeepsAll(t *testing.T) {
	near, far := pair(t)
	l := lull(t, near)
	const pieces, size = 300, 1000
	go func() {
		for range pieces {
			far.Write(make([]byte, size))
		}
		far.Close()
	}()
	buf := make([]byte, 64<<10)
	total := 0
	for i := 0; ; i++ {
		l.Wait(1+i*37%5000, time.Duration(i%3)*time.Millisecond)
		n, err := near.Read(buf)
		if total += n; errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if total != pieces*size {
		t.Errorf("%d of %d bytes", total, pieces*size)
	}
}

// TestLullIsQuiet: what comes in a lull does not make the socket readable for the
// kernel's poll, by which Go wakes threads; End makes it so.
func TestLullIsQuiet(t *testing.T) {
	near, far := pair(t)
	l := lull(t, near)
	near.SetReadDeadline(time.Unix(1, 0)) // Wait returns at once
	l.Wait(1000, long)
	say(t, far, 1)
	arrived(t, near, 1)
	readable := func() (n int) {
		cork.Socket(near).Control(func(fd uintptr) {
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

// TestLullOfAnother: a read that finds nothing after a lull is woken by its alarm.
func TestLullOfAnother(t *testing.T) {
	near, far := pair(t)
	l := lull(t, near)
	say(t, far, 1000)
	l.Wait(1000, 20*time.Millisecond)
	if _, err := io.ReadFull(near, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	say(t, far, 1)
	near.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := near.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// TestLullCloses: what a lull needs is given back, and who has none sleeps.
func TestLullCloses(t *testing.T) {
	before := files(t)
	near, far := pair(t)
	for range 10 {
		l := cork.LullOf(near)
		say(t, far, 1)
		if !l.Wait(1, time.Hour) {
			t.Error("could not wait")
		}
		l.Close()
		if l.Wait(1, time.Hour) {
			t.Error("waited after Close")
		}
	}
	if n := files(t); n > before+2 { // the pair
		t.Errorf("%d files open, %d before", n, before)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	none := cork.LullOf(a)
	if none != nil || none.Wait(1, time.Hour) {
		t.Error("a pipe has a lull")
	}
	none.End()
	none.Close()
}

func files(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
