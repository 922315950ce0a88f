package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"dtpx/internal/tcpinfo"
)

const (
	// bufSize is what one read may bring: CPU goes per wake-up, not per byte.
	bufSize = 256 << 10
	// shortRecord of a TLS connection is followed by a gather pause, so that the
	// next one finds more; a read ends with a record (16 KiB), and a full one
	// says nothing about what waits behind it. A socket's read is short if it
	// did not fill the buffer.
	shortRecord = 8 << 10
	// A pause is as long as gatherBytes take at the rate of the flow, and a
	// quarter more if they do not come: at 4 MB/s that is 32 ms and 30 wake-ups
	// a second, not 300. Where it would be shorter than gatherMin there is none.
	// Flows that have lasted for a while, longFlow bytes, pause half as long
	// again: there is more to come.
	gatherBytes = 128 << 10
	gatherMin   = 2 * time.Millisecond
	gatherMax   = 32 * time.Millisecond
	longFlow    = 16 << 20
	gatherSpan  = 50 * time.Millisecond // over which the rate is taken
	// eager bytes of each direction are passed on without pauses: handshakes
	// and small answers are round trips, not rates.
	eager = 64 << 10
)

var (
	errIdle = errors.New("tunnel idle")
	buffers = sync.Pool{New: func() any { return new([bufSize]byte) }}
)

// tunnel copies between a member and its target. Both directions share one
// purse and one idle watch. An end of one direction is passed on as such; an
// error or the end of the quota ends both.
type tunnel struct {
	s              *Server
	last           bool // served after the others
	member, origin net.Conn
	early          []byte // came behind the request
	purse          *purse

	up, down atomic.Int64 // bytes moved
	moved    atomic.Int64 // when something last moved, unix nanoseconds
	cancel   context.CancelCauseFunc

	mu      sync.Mutex // guards what follows
	stopped bool       // deadlines in the past stay there
	wanDown int64      // what the WAN socket counted, 0 if it does not
	wanUp   int64
}

func (t *tunnel) run(ctx context.Context) error {
	ctx, t.cancel = context.WithCancelCause(ctx)
	defer t.cancel(nil)
	stop := after(ctx, func() { t.interrupt(context.Cause(ctx)) })
	t.touch()
	defer t.watch()()

	var up sync.WaitGroup
	up.Go(func() { t.finish(t.upward(ctx)) })
	t.finish(t.pass(ctx, t.member, t.origin, &t.down))
	up.Wait()

	stop()

	t.weigh()
	t.origin.Close()
	t.purse.settle(max(0, t.wanDown-t.down.Load()) + max(0, t.wanUp-t.up.Load()))
	err := context.Cause(ctx)
	if errors.Is(err, errQuota) {
		linger(t.member) // all that was read has been written; let it arrive
	}
	return err
}

// interrupt wakes both directions. The member of a tunnel whose quota ended
// gets what was read; in all other cases a cut must look like one.
func (t *tunnel) interrupt(cause error) {
	if errors.Is(cause, errQuota) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.stopped = true
		t.member.SetReadDeadline(past)
		t.member.SetWriteDeadline(time.Now().Add(lastWrite))
		t.origin.SetDeadline(past)
		return
	}
	t.weigh() // a closed socket tells nothing
	abort(t.member)
	abort(t.origin)
}

// askAgain is how long a tunnel waits for its turn at most until it asks whether the
// owner's traffic still wants it to.
const askAgain = 250 * time.Millisecond

// lastWait is the pause before each read of who is served last while others
// are served.
const lastWait = 200 * time.Millisecond

var past = time.Unix(1, 0)

// lastWrite is how long a member may take to accept what was read when the
// quota ended.
const lastWrite = 2 * time.Second

// limit gives one read its time, unless the tunnel was told to end.
func (t *tunnel) limit(src net.Conn, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stopped {
		src.SetReadDeadline(time.Now().Add(d))
	}
}

func (t *tunnel) finish(err error) {
	if err != nil {
		t.cancel(err)
	}
}

// upward passes on what came too early, then the rest.
func (t *tunnel) upward(ctx context.Context) error {
	for len(t.early) > 0 {
		took, err := t.purse.take(int64(len(t.early)))
		if err != nil {
			return err
		}
		_, err = t.origin.Write(t.early[:took])
		t.count(&t.up, took, took)
		if err != nil {
			return err
		}
		t.early = t.early[took:]
	}
	return t.pass(ctx, t.origin, t.member, &t.up)
}

// pass copies one direction until its end. Before each read: the owner's own
// traffic, the rate, the quota.
func (t *tunnel) pass(ctx context.Context, dst, src net.Conn, moved *atomic.Int64) error {
	move := t.mover(dst, src)
	defer move.free()
	var flow flow
	for {
		if !t.turn(ctx) {
			return context.Cause(ctx)
		}
		took, err := t.purse.take(t.s.rate.piece())
		if err != nil {
			return err
		}
		n, err := move.piece(took)
		t.count(moved, took, n)
		switch {
		case errors.Is(err, io.EOF):
			if !closeWrite(dst) {
				return io.EOF // where one direction cannot end alone, both do
			}
			return nil
		case err != nil:
			return err
		}
		if moved.Load() <= eager || n >= move.short {
			continue
		}
		size, pause := flow.gather(time.Now(), moved.Load())
		if pause == 0 {
			move.lull.End()
			continue
		}
		if !move.gather(ctx, size, pause) {
			return context.Cause(ctx)
		}
	}
}

// flow knows the rate of one direction.
type flow struct {
	since time.Time
	from  int64         // bytes moved by then
	last  time.Duration // that gatherBytes took
}

// gather is how many bytes the next read should find, and how long to wait for
// them at most, when moved bytes have passed; no time where the flow is fast.
// It cannot hold a flow back for long: socket buffers hold more than gatherBytes,
// so a flow that the waiting limits is seen to be faster than that allows, and it
// shrinks.
func (f *flow) gather(now time.Time, moved int64) (size int, limit time.Duration) {
	if f.since.IsZero() {
		*f = flow{now, moved, gatherMin}
	}
	if d := now.Sub(f.since); d >= gatherSpan {
		f.last = time.Duration(float64(d) * gatherBytes / float64(max(moved-f.from, 1)))
		f.since, f.from = now, moved
	}
	if f.last < gatherMin {
		return 0, 0
	}
	pause := min(f.last, gatherMax)
	if moved >= longFlow {
		pause = min(f.last*3/2, gatherMax*3/2)
	}
	return int(gatherBytes * pause / f.last), pause * 5 / 4
}

// turn waits until this direction may read.
func (t *tunnel) turn(ctx context.Context) bool {
	if t.last && time.Since(time.Unix(0, t.s.busy.Load())) < lastWait && !t.rest(ctx, lastWait) {
		return false
	}
	for {
		d := t.s.wait()
		if d <= 0 {
			return ctx.Err() == nil
		}
		if !t.rest(ctx, min(d, askAgain)) {
			return false
		}
	}
}

// rest is a pause that the relay wants: who waits for its turn is not idle.
func (t *tunnel) rest(ctx context.Context, d time.Duration) bool {
	t.touch()
	ok := sleep(ctx, min(d, t.s.Idle/2))
	t.touch()
	return ok
}

func (t *tunnel) count(moved *atomic.Int64, took, n int64) {
	t.purse.spent(took, n)
	if n == 0 {
		return
	}
	t.s.rate.pay(t.s.Now(), n)
	moved.Add(n)
	if moved == &t.up {
		t.s.counts.up.Add(n)
	} else {
		t.s.counts.down.Add(n)
	}
	t.touch()
}

func (t *tunnel) touch() {
	now := time.Now().UnixNano()
	t.moved.Store(now)
	if !t.last {
		t.s.busy.Store(now)
	}
}

// watch ends the tunnel when neither direction has moved for the idle time.
// A write that nobody takes does not move either.
func (t *tunnel) watch() (stop func()) {
	var timer *time.Timer
	var mu sync.Mutex // the first firing may come before timer is set
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(t.s.Idle, func() {
		mu.Lock()
		defer mu.Unlock()
		rest := t.s.Idle - time.Since(time.Unix(0, t.moved.Load()))
		if rest <= 0 {
			t.cancel(errIdle)
			return
		}
		timer.Reset(rest)
	})
	return func() { timer.Stop() }
}

// weigh asks what went over the WAN; it is more than was read and written by
// what nobody read and what was sent twice. All of it was paid for.
func (t *tunnel) weigh() {
	if info, ok := tcpinfo.Ask(t.origin); ok {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.wanDown, t.wanUp = info.Received, info.Sent
	}
}
