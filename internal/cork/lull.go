package cork

import (
	"net"
	"sync"
	"syscall"
	"time"
)

// Lull is a time in which what arrives on a connection is not reported until
// there is enough of it: Go's poller is edge triggered, so each segment that
// comes wakes a thread, whether somebody reads or not, and that costs more than
// the bytes. A sleep instead would cost several: runtime timers wake a second
// thread and the watcher of the scheduler, and the poller counts in whole
// milliseconds.
//
// It is used by one goroutine at a time; Close may come from any.
type Lull struct {
	conn *net.TCPConn
	raw  syscall.RawConn

	mu      sync.Mutex // guards what follows
	low     int        // SO_RCVLOWAT; 0 = never set, which the kernel takes as 1
	alarm   *alarm     // nil before the first Wait
	waiting bool
	rung    bool // the read deadline is ours
	closed  bool
}

// roomy is a low water mark that is set once: the kernel makes the receive buffer
// twice as large, if the system allows. With the mark alone the sender would be
// told to stop before enough has come: a segment takes more of the buffer than it
// brings.
const roomy = 1 << 20

var past = time.Unix(1, 0)

// LullOf finds the TCP connection below c. It is nil where there is none or the
// system cannot do it; a nil Lull does nothing. Who has one closes it.
func LullOf(c net.Conn) *Lull {
	t := bare(c)
	if t == nil || !quietly {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	return &Lull{conn: t, raw: raw}
}

// Wait returns when n bytes have come, d has passed, the connection has ended or
// its read deadline has passed, which it may take away. It reports whether it
// could wait at all: who has a nil Lull, or a closed one, sleeps.
//
// After it, reads that find nothing may wait for as long as that: see End.
func (l *Lull) Wait(n int, d time.Duration) bool {
	if l == nil || !l.begin(n, d) {
		return false
	}
	asked := false
	_ = l.raw.Read(func(fd uintptr) bool {
		if asked {
			return true
		}
		asked = true
		return readable(fd)
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = false
	if l.rung {
		l.rung = false
		_ = l.conn.SetReadDeadline(time.Time{})
	}
	return true
}

func (l *Lull) begin(n int, d time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if l.alarm == nil {
		a, err := newAlarm(l.ring)
		if err != nil {
			return false
		}
		l.alarm = a
		l.set(roomy)
	}
	l.set(n)
	l.alarm.in(d)
	l.waiting = true
	return true
}

// ring ends a lull whose time is up, or what is left of one.
func (l *Lull) ring() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set(1)
	if l.waiting && !l.rung {
		l.rung = true
		_ = l.conn.SetReadDeadline(past)
	}
}

// End lets each byte be reported again, and reports what has come meanwhile.
func (l *Lull) End() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.low > 1 {
		l.set(1)
	}
}

func (l *Lull) set(n int) {
	if n == l.low {
		return
	}
	l.low = n
	_ = l.raw.Control(func(fd uintptr) { setLowWater(fd, n) })
}

// Close gives up what Wait needs. It leaves the connection open.
func (l *Lull) Close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.alarm != nil {
		l.alarm.stop()
	}
}
