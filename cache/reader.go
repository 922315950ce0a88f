package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"dtpx/cache/internal/disk"
	"dtpx/cache/internal/rules"
	ranges "dtpx/range"
)

// reader is the body of an answer from the disk: what is held, what somebody is
// just fetching, and what it has to fetch itself, in order.
type reader struct {
	v      *visit // of the client
	ctx    context.Context
	cancel context.CancelFunc // ends waiting and fetching

	mu       sync.Mutex // held while reading; guards what follows
	o        *object
	s        *rules.Stored
	pos, end int64
	runEnd   int64 // what is held from pos on
	gap      *gap  // open, at pos
	ahead    ahead // of pos
	handle   *disk.Handle
	other    *live     // another reader's fetch of what is missing at pos, which it has waited for
	gaveUp   bool      // on that
	waited   time.Time // since when for the byte at pos; zero: it does not wait
	bound    bound     // by whom it follows
	failed   int       // gaps in a row that broke off without a byte
	closed   bool
}

// growTime is how long a reader waits for what another client is fetching before
// it fetches for itself: that client may be slow, or have paused.
const growTime = time.Second

// byteTime is how long it waits for one byte while others come.
const byteTime = 3 * time.Second

// gapTries is how often in a row a gap may break off without a byte.
const gapTries = 3

func (v *visit) newReader(o *object, s *rules.Stored, r ranges.Range, g *gap) *reader {
	own := *o
	own.entry.Acquire().Use()
	body := &reader{v: v, o: &own, s: s, pos: r.Start, end: r.End}
	body.ctx, body.cancel = context.WithCancel(v.in.Context())
	body.ahead.news = make(chan struct{}, 1)
	body.ahead.looking = own.entry.Complete() // nothing to look for
	if g != nil {
		context.AfterFunc(body.ctx, g.cancel)
		body.ahead.add(g)
	}
	return body
}

// Read implements io.Reader. It returns io.EOF only at the end of the range.
func (r *reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed && r.pos < r.end {
		r.look()
		n, err := r.some(p[:min(int64(len(p)), r.end-r.pos)])
		if r.pos += int64(n); n > 0 {
			r.waited, r.gaveUp = time.Time{}, false
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
	if r.closed {
		return 0, errors.New("read of a closed body")
	}
	return 0, io.EOF
}

// some reads what is there at pos; nothing and no error says to try again.
func (r *reader) some(p []byte) (int, error) {
	if r.gap == nil {
		r.gap = r.ahead.take(r.pos)
	}
	if r.gap != nil && r.gap.at == r.pos {
		return r.fromGap(p)
	}
	if r.pos >= r.runEnd {
		r.runEnd = r.run()
	}
	if r.pos < r.runEnd {
		to := min(r.runEnd, r.ahead.next(r.end))
		n, err := r.o.entry.ReadAt(p[:min(int64(len(p)), to-r.pos)], r.pos)
		if err != nil && !errors.Is(err, disk.ErrMissing) {
			return n, fmt.Errorf("read cache: %w", err)
		}
		if err != nil {
			r.runEnd = r.pos + int64(n) // damaged, or dropped
		}
		return n, nil
	}
	if l := r.v.c.lives.soon(r.o.entry.ID(), r.pos); l != nil && r.gap == nil {
		if again, err := r.wait(l); again || err != nil {
			return 0, err
		}
	}
	if l := r.v.c.lives.again(r.o.entry.ID(), r.pos); l != nil && r.gap == nil && r.comes(l) {
		return 0, context.Cause(r.ctx)
	}
	return 0, r.fetch()
}

// comes waits for one who has to fetch all anew, and reports whether he still does:
// nobody who begins now would be here sooner.
func (r *reader) comes(l *live) bool {
	front := l.front.Load()
	_, next := r.o.entry.Growth()
	t := time.NewTimer(growTime)
	defer t.Stop()
	select {
	case <-next:
	case <-l.over:
	case <-r.ctx.Done():
	case <-t.C:
		return l.front.Load() > front && !r.o.entry.Removed()
	}
	return true
}

// run is the end of what is held from pos on, or of a part of that.
func (r *reader) run() int64 {
	to := min(r.end, r.pos+aheadBytes)
	if lacks := r.o.entry.Missing(r.pos, to); len(lacks) > 0 {
		return lacks[0].Start
	}
	return to
}

// wait waits until more is held, or whoever fetches it has gone, but for one byte
// no longer than byteTime in all: others may fetch all but that; and not for one who
// fetches only as fast as a slow client reads.
func (r *reader) wait(l *live) (again bool, err error) {
	_, next := r.o.entry.Growth()
	if r.o.entry.Has(r.pos) {
		return true, nil
	}
	if r.waited.IsZero() {
		r.waited = time.Now()
	}
	left := min(growTime, byteTime-time.Since(r.waited))
	if left <= 0 || r.o.entry.Removed() || !l.hole && r.bound.lags(l, time.Now()) {
		return false, nil
	}
	defer func() { r.bound.last = time.Now() }()
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-next:
		return true, nil
	case <-l.over:
		return true, nil
	case <-r.ahead.news:
		return true, nil
	case <-r.ctx.Done():
		return false, context.Cause(r.ctx)
	case <-t.C:
		return false, nil
	}
}

func (r *reader) fromGap(p []byte) (int, error) {
	n, err := r.gap.body.Read(p[:min(int64(len(p)), r.gap.end-r.pos)])
	r.gap.at += int64(n)
	if n > 0 {
		r.failed = 0
	}
	if err == nil && r.gap.at < r.gap.end {
		return n, nil
	}
	whole := r.gap.at == r.gap.end
	switch lent := r.gap.lent; {
	case lent != nil && whole:
		r.v.c.lan.helps(lent.n)
	case lent != nil: // others, then the origin
		r.v.without(r.ctx, r.o, *lent)
		r.gap.close()
		r.gap = nil
		return n, nil
	}
	r.gap.close()
	r.gap = nil
	if !whole {
		if r.failed++; r.failed >= gapTries || r.ctx.Err() != nil {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
	}
	return n, nil
}

// fetch asks the origin for what is missing at pos.
func (r *reader) fetch() error {
	if r.gap != nil { // it stands where the reader has been
		r.gap.close()
		r.gap = nil
	}
	end := r.ahead.next(r.end)
	if g := r.v.lend(r.ctx, r.o, r.pos, end); g != nil {
		r.gap = g
		return nil
	}
	hole := ranges.Range{Start: r.pos, End: gapEnd(r.o.held(), r.pos, end)}
	l, mine := r.v.c.lives.claim(r.o.entry.ID(), hole)
	if !mine && !r.gaveUp {
		if r.other != l {
			r.other, r.waited = l, time.Time{}
		}
		again, err := r.wait(l)
		if !again { // once: who is at it may be slow, too
			r.gaveUp, r.waited = true, time.Time{}
		}
		return err
	}
	if mine && r.o.entry.Has(r.pos) { // whoever was at it has just ended
		l.end()
		return nil
	}
	g, resp, err := r.v.openGap(r.ctx, r.o, r.s, r.pos, end, true)
	switch {
	case mine && g == nil:
		l.end()
	case mine:
		cancel := g.cancel
		g.cancel = func() { cancel(); l.end() }
	}
	if g == nil && resp != nil { // too late to begin anew
		resp.Body.Close()
		r.o.invalidate()
	}
	r.gap = g
	return err
}

// NextFile returns a file that stands where r does, with n bytes of the body in
// one piece: for sendfile. ok is false where they are to be read.
func (r *reader) NextFile() (f *os.File, n int64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.gap != nil || r.pos >= r.end {
		return nil, 0, false
	}
	r.look()
	if r.gap = r.ahead.take(r.pos); r.gap != nil {
		return nil, 0, false
	}
	if r.handle == nil {
		r.handle = r.o.entry.Handle()
	}
	f, _, n, ok = r.handle.File(r.pos)
	return f, min(n, r.ahead.next(r.end)-r.pos), ok
}

// Sent says that n bytes of that file have been sent.
func (r *reader) Sent(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pos += n
}

// Close implements io.Closer.
func (r *reader) Close() error {
	r.cancel() // a Read that waits comes back
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	r.ahead.close()
	if r.gap != nil {
		r.gap.close()
	}
	if r.handle != nil {
		r.handle.Close()
	}
	if r.pos < r.end {
		r.v.left(r.o.entry)
	}
	r.o.release()
	return nil
}
