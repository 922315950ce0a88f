package ranges

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"dtpx/range/internal/sched"
)

// bufferSize is what a fetch reads at once; large, because CPU goes per
// wake-up and not per byte.
const bufferSize = 128 << 10

var bufferPool = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// ownFields never go from the client's request into a slice's: conditionals
// and ranges are the engine's own.
var ownFields = []string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"}

// sliceRequestLocked repeats the client's request for r only.
func (d *Download) sliceRequestLocked(ctx context.Context, r Range) *http.Request {
	req := d.url.Clone(ctx)
	for _, f := range ownFields {
		req.Header.Del(f)
	}
	req.Header.Set("Range", formatRange(r))
	req.Header.Set("If-Range", d.version.validator.field())
	req.Body, req.ContentLength = nil, 0
	return req
}

// open asks for f's range and pumps the answer into the store.
func (d *Download) open(f *fetch, lane Lane, req *http.Request) {
	defer f.cancel()
	resp, err := lane.RoundTrip(req)
	d.noteBalk(lane)
	if err != nil {
		lane.Close()
		d.ended(f, &fault{err: err}, false)
		return
	}
	if bad := d.version.check(resp, f.r); bad != nil {
		bad.behind = d.misplaced(lane, bad)
		reusable := discard(resp)
		if reusable {
			d.parkLane(f, lane)
		} else {
			lane.Close()
		}
		bad.renewed = d.renew(f.src, req, bad)
		d.ended(f, bad, !reusable)
		return
	}
	d.mu.Lock()
	if p, ok := lane.(pipeline); ok {
		d.plan.Answered(f.src, p.Took())
	}
	d.plan.Opened(f.id, d.now())
	f.lane = lane
	d.mu.Unlock()
	d.nudge()
	d.pump(f, resp, lane)
}

// discard reads a short error body so that the connection can be used again.
// A long one is not begun: its range would wait meanwhile.
func discard(resp *http.Response) (reusable bool) {
	defer resp.Body.Close()
	if n := resp.ContentLength; n < 0 || n > 16<<10 {
		return false
	}
	_, err := io.Copy(io.Discard, resp.Body)
	return err == nil
}

// pump moves a verified body into the store until the plan has no more use
// for it. lane is nil for a slice 0 that came directly.
func (d *Download) pump(f *fetch, resp *http.Response, lane Lane) {
	body := &exactReader{r: resp.Body, rest: f.r.Len()}
	left, err := d.copyIn(f, body)
	whole := err == nil && left <= d.drainSize && d.drain(f, body)
	resp.Body.Close()
	if lane != nil && !d.passed(f) {
		if whole {
			d.parkLane(f, lane)
		} else {
			lane.Close()
		}
	}
	var bad *fault
	if err != nil {
		bad = &fault{err: err}
	}
	d.ended(f, bad, !whole)
}

// copyIn reads body into the store as long as the plan wants it; left is what
// remains of the body then.
func (d *Download) copyIn(f *fetch, body *exactReader) (left int64, err error) {
	buf := bufferPool.Get().(*[bufferSize]byte)
	defer bufferPool.Put(buf)
	var flow flow
	lull := lullOf(body.r)
	defer lull.End() // the next answer is short at first
	want := d.want(f)
	for want >= 0 {
		if want == 0 {
			want = d.wait(f)
			continue
		}
		d.pace()
		t0 := time.Now()
		n, err := body.Read(buf[:min(want, bufferSize)])
		now := time.Now()
		flow.add(n, now)
		if n > 0 {
			want = d.got(f, buf[:n])
		}
		switch {
		case err == io.EOF:
			return 0, nil
		case err != nil:
			return body.rest, err
		case want > 0 && n < bufferSize/4 && now.Sub(t0) > gatherMin/8:
			flow.rest(want, lull)
		}
	}
	return body.rest, nil
}

// pace waits where the cache is behind.
func (d *Download) pace() {
	if d.keeper != nil {
		d.keeper.Pace(d.ctx)
	}
}

// drain reads the rest of a body whose end is near.
func (d *Download) drain(f *fetch, body *exactReader) bool {
	n, err := io.Copy(io.Discard, body)
	d.mu.Lock()
	d.plan.Waste(f.src, n)
	d.mu.Unlock()
	return err == nil
}

// exactReader yields rest bytes and then io.EOF, and an error if the body is
// shorter or longer than that.
type exactReader struct {
	r    io.Reader
	rest int64
}

var errTooLong = errors.New("body longer than its range")

func (e *exactReader) Read(p []byte) (int, error) {
	if e.rest == 0 {
		var one [1]byte
		if n, err := e.r.Read(one[:]); n > 0 {
			return 0, errTooLong
		} else if err != nil && err != io.EOF {
			return 0, err
		}
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.rest)])
	e.rest -= int64(n)
	switch {
	case e.rest == 0 && err == io.EOF:
		return n, io.EOF
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	case e.rest == 0 && err == nil:
		return n, nil
	}
	return n, err
}

// want asks the plan how much f may read.
func (d *Download) want(f *fetch) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.wantLocked(f)
}

func (d *Download) wantLocked(f *fetch) int64 {
	if d.closed || d.fetches[f.id] != f {
		return -1
	}
	return d.plan.Want(f.id, d.now())
}

// wait blocks until the plan wakes f.
func (d *Download) wait(f *fetch) int64 {
	select {
	case <-f.wake:
	case <-d.ctx.Done():
		return -1
	}
	return d.want(f)
}

// got is the one place where bytes enter the store: those that the plan calls
// fresh, at the position the verified response put them.
func (d *Download) got(f *fetch, p []byte) (want int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.fetches[f.id] != f {
		return -1
	}
	now := d.now()
	at := d.plan.Position(f.id)
	fresh, step := d.plan.Got(f.id, int64(len(p)), now)
	for _, r := range fresh {
		if _, err := d.store.WriteAt(p[r.Start-at:r.End-at], r.Start); err != nil {
			d.failLocked(err)
			return -1
		}
		if d.keeper != nil {
			_, _ = d.keeper.WriteAt(p[r.Start-at:r.End-at], r.Start)
		}
	}
	for _, rd := range d.readers {
		for _, r := range fresh {
			if r.Contains(rd.pos) {
				rd.signal()
			}
		}
	}
	if step {
		d.nudge()
	}
	return d.plan.Want(f.id, now)
}

// ended reports the end of f to the plan.
func (d *Download) ended(f *fetch, bad *fault, closed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.nudge()
	if d.closed || d.fetches[f.id] != f {
		return // cancelled by plan
	}
	delete(d.fetches, f.id)
	why, wait := sched.Done, time.Duration(0)
	if bad != nil {
		why, wait = classify(bad), bad.retryAfter
		if u, ok := unavailable(bad.err); ok {
			wait = u.After
		}
		o := d.sources[f.src-1]
		if why == sched.Forbidden {
			if o.Kind() == KindPeer {
				why = d.barredLocked(f.src, bad)
			}
			o.refused = o.refused || local(o)
		}
		if !bad.behind {
			o.last = bad.Error()
		}
		d.engine.Log.Debug("slice failed", "id", d.id, "source", o.Name(), "range", f.r, "err", bad.err)
	}
	d.plan.Ended(f.id, why, wait, closed, d.now())
}

// classify says what a fault means for its source.
func classify(f *fault) sched.Cause {
	u, away := unavailable(f.err)
	var path *pathError
	switch {
	case f.renewed, f.behind:
		return sched.Again
	case u.OneTooMany:
		return sched.Overload
	case away && u.After < 0:
		return sched.Out
	case away || errors.As(f.err, &path) || unreachable(f.err):
		return sched.Away
	case f.status == 0 && refused(f.err):
		return sched.Overload
	case f.status == 0:
		return sched.Reset
	case f.status == http.StatusTooManyRequests, f.status == http.StatusServiceUnavailable, f.status == 509:
		return sched.Overload
	case f.status >= 500:
		return sched.Reset
	case f.status >= 300 && f.status != http.StatusRequestedRangeNotSatisfiable:
		return sched.Forbidden
	}
	return sched.Mismatch
}

// refused reports a connection that the host did not take: a limit on their
// number looks like this.
func refused(err error) bool {
	var op *net.OpError
	return errors.Is(err, syscall.ECONNREFUSED) || !unreachable(err) && errors.As(err, &op) && op.Op == "dial" && !op.Timeout()
}
