package cache

import (
	"context"
	"errors"
	"io"
	"net/http"

	"dtpx/cache/internal/disk"
	"dtpx/cache/internal/rules"
	ranges "dtpx/range"
)

// gap is a body that brings bytes which are not held, up to end.
type gap struct {
	body   io.ReadCloser
	at     int64
	end    int64
	cancel context.CancelFunc
	lent   *source // nil: from the origin
}

func (g *gap) close() {
	g.cancel()
	g.body.Close()
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
// the answer if that is not of the same version, or the whole, because the origin knows
// no ranges: a client whose answer has begun takes that, too, as it has no other way.
func (v *visit) openGap(ctx context.Context, o *object, s *rules.Stored, off, end int64, begun bool) (*gap, *http.Response, error) {
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
	switch {
	case !known || !k.continues(k.response(resp), contentTotal(resp)):
	case resp.StatusCode == http.StatusPartialContent && got == missing:
		v.c.stats.completed.Add(1)
		return &gap{body: k.goOn(resp, got), at: off, end: got.End, cancel: cancel}, resp, nil
	case resp.StatusCode == http.StatusOK && begun:
		body := &tail{ReadCloser: k.goOn(resp, got), skip: off}
		k.live.anew.Store(true)
		return &gap{body: body, at: off, end: end, cancel: cancel}, resp, nil
	}
	resp.Body = &cancelling{resp.Body, cancel}
	return nil, resp, errChanged
}

// goOn is the body of resp, r of what is being completed.
func (k *keeper) goOn(resp *http.Response, r ranges.Range) io.ReadCloser {
	if !k.taken {
		k.open(resp, r, k.into.total(), nil)
	}
	return &keptBody{k: k, ReadCloser: resp.Body, r: r, pos: r.Start, known: true}
}

// tail is a body without its first skip bytes.
type tail struct {
	io.ReadCloser
	skip int64
}

func (t *tail) Read(p []byte) (int, error) {
	for t.skip > 0 && len(p) > 0 {
		n, err := t.ReadCloser.Read(p[:min(int64(len(p)), t.skip)])
		if t.skip -= int64(n); err != nil {
			return 0, err
		}
	}
	return t.ReadCloser.Read(p)
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

// contentTotal is the size of the whole of which a body is all or a part; -1: unknown.
func contentTotal(resp *http.Response) int64 {
	if resp.StatusCode == http.StatusOK {
		return resp.ContentLength
	}
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
	g, resp, err := v.openGap(v.in.Context(), o, s, off, a.Range.End, false)
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
