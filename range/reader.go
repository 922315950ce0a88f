package ranges

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"dtpx/range/internal/sched"
)

// Reader is the body of an accelerated response: the download's bytes from
// one position to another, in order. Read and Close may be called from
// different goroutines.
type Reader struct {
	d          *Download
	id         sched.ReaderID
	req        *http.Request
	ctx        context.Context
	start, end int64
	ready      chan struct{}
	flow       flow // of Read

	// guarded by d.mu
	pos   int64
	left  bool
	owner bool      // slices repeat this reader's request
	waits time.Time // since when for the next byte; zero if it does not
	err   error     // sticky; the bytes from here on cannot be had
}

var errClosed = errors.New("read of a closed body")

// Read waits for the next bytes. It returns io.EOF only at the end of the
// range that was promised, and never before.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, rest, err := r.take(p)
		if n > 0 || err != nil {
			r.flow.add(n, time.Now())
			return n, err
		}
		select {
		case <-r.ready:
		case <-r.ctx.Done():
			return 0, context.Cause(r.ctx)
		}
		if !r.closed() {
			time.Sleep(r.flow.pause(rest))
		}
	}
}

func (r *Reader) closed() bool {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	return r.left
}

// take copies stored bytes, or notes that the reader waits for the rest.
func (r *Reader) take(p []byte) (n int, rest int64, err error) {
	d := r.d
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case r.left:
		return 0, 0, errClosed
	case r.pos == r.end:
		return 0, 0, io.EOF
	}
	run := d.plan.Have(r.pos).Intersect(Range{Start: r.pos, End: r.end}) // others may want more
	if run.Empty() {
		if err := cmp.Or(r.err, d.err); err != nil {
			return 0, 0, err
		}
		if r.waits.IsZero() {
			r.waits = time.Now()
			d.plan.Waiting(r.id, true, d.now())
			d.nudge()
		}
		return 0, r.end - r.pos, nil
	}
	got, err := d.store.Peek(r.pos, int(min(run.Len(), int64(len(p)))))
	if err != nil {
		d.failLocked(err)
		return 0, 0, err
	}
	n = copy(p, got)
	r.advanceLocked(int64(n))
	return n, r.end - r.pos, nil
}

// advanceLocked moves the reader on and drops blocks that nobody wants.
func (r *Reader) advanceLocked(n int64) {
	d, was := r.d, r.pos
	d.stalled = max(d.stalled, r.stallLocked())
	r.pos += n
	d.sent += n
	if !r.waits.IsZero() {
		r.waits = time.Time{}
		d.plan.Waiting(r.id, false, d.now())
	}
	d.plan.Read(r.id, r.pos, d.now())
	if block := d.engine.block; was/block != r.pos/block || r.pos == r.end {
		d.dropLocked(Range{Start: was / block * block, End: r.pos / block * block})
		d.nudge()
	}
}

// stallLocked is for how long the reader has waited in mid-body, 0 if it does not.
func (r *Reader) stallLocked() time.Duration {
	if r.waits.IsZero() || r.pos == r.start {
		return 0
	}
	return time.Since(r.waits)
}

// dropLocked frees whole blocks of r that no reader wants any longer.
func (d *Download) dropLocked(r Range) {
	block := d.engine.block
	for at := r.Start; at < r.End; at += block {
		b := Range{Start: at, End: at + block}
		if gone := d.plan.Unwanted(b); len(gone) == 1 && gone[0] == b {
			d.store.Drop(b)
			d.plan.Forget(b)
		}
	}
}

// sweepLocked frees what was held for a reader that has left: one that seeks
// about would otherwise leave a window behind at each place.
func (d *Download) sweepLocked() {
	block := d.engine.block
	for _, r := range d.plan.Stored() {
		d.dropLocked(Range{Start: r.Start / block * block, End: r.End})
	}
}

func (r *Reader) signal() {
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

// Close gives up the reader's interest. When it was the last one, Close stops
// the download and waits for its goroutines.
func (r *Reader) Close() error {
	r.d.mu.Lock()
	first := !r.left
	r.left = true
	r.d.mu.Unlock()
	if first {
		r.signal()
		r.d.leave(r)
	}
	return nil
}
