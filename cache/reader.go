package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
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
	later    *gap  // open, farther on
	handle   *disk.Handle
	gaveUp   bool      // on another reader who fetches what is missing at pos
	waited   time.Time // since when for the byte at pos; zero: it does not wait
	failed   int       // gaps in a row that broke off without a byte
	closed   bool
}

// gap is a body that brings bytes which are not held, up to end.
type gap struct {
	body   io.ReadCloser
	at     int64
	end    int64
	cancel context.CancelFunc
	lent   string // entry of a neighbour; "": from the origin
}

func (g *gap) close() {
	g.cancel()
	g.body.Close()
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
	body := &reader{v: v, o: &own, s: s, pos: r.Start, end: r.End, later: g}
	body.ctx, body.cancel = context.WithCancel(v.in.Context())
	if g != nil {
		context.AfterFunc(body.ctx, g.cancel)
	}
	return body
}

// Read implements io.Reader. It returns io.EOF only at the end of the range.
func (r *reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed && r.pos < r.end {
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
	if r.gap == nil && r.later != nil && r.later.at <= r.pos {
		r.gap, r.later = r.later, nil
	}
	if r.gap != nil && r.gap.at == r.pos {
		return r.fromGap(p)
	}
	if r.pos >= r.runEnd {
		r.runEnd = firstMissing(r.o.entry, r.pos)
	}
	if r.pos < r.runEnd {
		n, err := r.o.entry.ReadAt(p[:min(int64(len(p)), r.runEnd-r.pos)], r.pos)
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
	return 0, r.fetch()
}

// wait waits until more is held, or whoever fetches it has gone, but for one byte
// no longer than byteTime in all: others may fetch all but that.
func (r *reader) wait(l *live) (again bool, err error) {
	_, next := r.o.entry.Growth()
	if r.o.entry.Has(r.pos) {
		return true, nil
	}
	if r.waited.IsZero() {
		r.waited = time.Now()
	}
	left := min(growTime, byteTime-time.Since(r.waited))
	if left <= 0 || r.o.entry.Removed() {
		return false, nil
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-next:
		return true, nil
	case <-l.over:
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
	if lent := r.gap.lent; lent != "" && !whole { // others, then the origin
		r.o.lan = slices.DeleteFunc(slices.Clone(r.o.lan), func(s source) bool { return s.id == lent })
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
	end := r.end
	if r.later != nil {
		end = min(end, r.later.at)
	}
	if g := r.v.lend(r.ctx, r.o, r.pos, end); g != nil {
		r.gap = g
		return nil
	}
	hole := ranges.Range{Start: r.pos, End: gapEnd(r.o.held(), r.pos, end)}
	l, mine := r.v.c.lives.claim(r.o.entry.ID(), hole)
	if !mine && !r.gaveUp {
		r.gaveUp, r.waited = true, time.Time{} // once: who is at it may be slow, too
		_, err := r.wait(l)
		return err
	}
	g, resp, err := r.v.openGap(r.ctx, r.o, r.s, r.pos, end)
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
	if r.handle == nil {
		r.handle = r.o.entry.Handle()
	}
	f, _, n, ok = r.handle.File(r.pos)
	return f, min(n, r.end-r.pos), ok
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
	for _, g := range []*gap{r.gap, r.later} {
		if g != nil {
			g.close()
		}
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

// firstMissing is the first byte from off on that is not held.
func firstMissing(e *disk.Entry, off int64) int64 {
	for _, r := range e.Held() {
		if r.Start <= off && off < r.End {
			return r.End
		}
	}
	return off
}

// gapEnd is where what is missing of held at off ends, at most at end.
func gapEnd(held []ranges.Range, off, end int64) int64 {
	for _, r := range held {
		if r.Start > off {
			return min(end, r.Start)
		}
	}
	return end
}

var errChanged = errors.New("the resource has changed since the part that is cached was fetched")

// openGap asks the origin for the bytes of o that are missing at off. It returns
// the answer if that is not of the same version.
func (v *visit) openGap(ctx context.Context, o *object, s *rules.Stored, off, end int64) (*gap, *http.Response, error) {
	missing := ranges.Range{Start: off, End: gapEnd(o.held(), off, end)}
	h, ok := rules.Completion(v.req, s, missing)
	if !ok {
		return nil, nil, errors.New("a part of the cached answer is lost, and it has no strong validator to fetch that by")
	}
	ctx, cancel := context.WithCancel(ctx)
	k := &keeper{v: v, into: o}
	ask := v.in.WithContext(ctx)
	ask.Header = h
	resp, err := k.send(ask)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	got, known := bodyRange(resp)
	if resp.StatusCode != http.StatusPartialContent || !known || got != missing || !k.continues(k.response(resp), contentTotal(resp)) {
		resp.Body = &cancelling{resp.Body, cancel}
		return nil, resp, errChanged
	}
	body := &keptBody{k: k, ReadCloser: resp.Body, r: got, pos: got.Start, known: true}
	if !k.taken {
		k.open(resp, got, o.total(), nil)
	}
	v.c.stats.completed.Add(1)
	return &gap{body: body, at: off, end: got.End, cancel: cancel}, resp, nil
}

// cancelling is a body whose request has a context of its own.
type cancelling struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (c *cancelling) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}

// contentTotal is the size of the whole of which a 206 is a part; -1: unknown.
func contentTotal(resp *http.Response) int64 {
	cr, err := ranges.ParseContentRange(resp.Header.Get("Content-Range"))
	if err != nil {
		return -1
	}
	return cr.Total
}

// complete answers from o, of which a part is missing, with that part from the
// origin: its 206 proves as well that the rest is current (RFC 9111 §3.3). ok is
// false if it has to be done otherwise.
func (v *visit) complete(o *object, s *rules.Stored, a rules.Answer) (resp *http.Response, err error, ok bool) {
	if _, strong := s.Version(); o.entry == nil || !strong {
		return nil, nil, false
	}
	off := holds(o.held(), a.Range.Start)
	if off >= a.Range.End {
		return nil, nil, false // it has come meanwhile
	}
	g, resp, err := v.openGap(v.in.Context(), o, s, off, a.Range.End)
	if g == nil && resp == nil {
		return nil, err, true
	}
	if g == nil {
		return v.changed(resp)
	}
	k := &keeper{v: v, requested: v.c.o.Now(), received: v.c.o.Now()}
	v.refreshed(o, s, k.response(resp))
	now := o.stored(v.t.Realm)
	now.Invalid = false
	cs := v.status(rules.FwdPartial)
	cs.FwdStatus, cs.Stored = resp.StatusCode, true
	return v.serveGap(o, now, a, rules.Personal(resp.Header), cs, g), nil, true
}

// changed makes an answer of one that was asked for as the rest of another
// version. A whole one is what a client gets that has asked for the whole.
func (v *visit) changed(resp *http.Response) (*http.Response, error, bool) {
	if resp.StatusCode == http.StatusOK && v.in.Header.Get("Range") == "" {
		k := v.newKeeper()
		k.requested, k.received = v.c.o.Now(), v.c.o.Now()
		return k.keep(resp), nil, true
	}
	resp.Body.Close()
	answer, err := v.forward(v.in, nil)
	return answer, err, true
}
