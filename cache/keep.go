package cache

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"dtpx/cache/internal/disk"
	"dtpx/cache/internal/rules"
	ranges "dtpx/range"
)

// keeper sends one request and keeps what comes back, where that is allowed. The
// bytes come by one of two ways: from the accelerating transport as they arrive,
// in any order, or from the body as the client reads it.
type keeper struct {
	v         *visit
	into      *object // what is being completed; nil: a new answer
	requested time.Time
	received  time.Time
	since     uint64 // ended.now when it was made

	entry *disk.Entry // being filled; acquired
	fill  *disk.Fill
	live  *live
	taken bool      // by the transport
	carry *unproven // members may carry it
	why   string
}

func (v *visit) newKeeper() *keeper { return &keeper{v: v, since: v.c.ended.now()} }

// send sends req; what the transport makes a download of comes to engine.
func (k *keeper) send(req *http.Request) (*http.Response, error) {
	k.requested = k.v.c.o.Now()
	ctx := k.v.watchReach(ranges.WithKeeper(req.Context(), k.engine))
	if k.carry != nil {
		ctx = ranges.WithVouched(ctx)
	}
	resp, err := k.v.t.Next.RoundTrip(req.WithContext(ctx))
	k.received = k.v.c.o.Now()
	return resp, err
}

// outlived reports that what k has asked for was taken out of the cache since then: the
// answer may be from before (RFC 9111 §4.4).
func (k *keeper) outlived() bool {
	return k.v.c.ended.since(keyOf(k.v.req.Key.ID), k.since)
}

// response is resp as the rules know it.
func (k *keeper) response(resp *http.Response) rules.Response {
	at := k.received
	if at.IsZero() {
		at = k.v.c.o.Now()
	}
	return rules.Response{
		Status: resp.StatusCode, Header: resp.Header, Encodings: resp.TransferEncoding, Trailers: len(resp.Trailer) > 0,
		Requested: k.requested, Received: at,
	}
}

// engine implements ranges.WithKeeper.
func (k *keeper) engine(resp *http.Response, total int64) ranges.Keeper {
	r, ok := bodyRange(resp)
	if !ok || !k.open(resp, r, total, k.carry) {
		return nil
	}
	k.taken = true
	return &filling{fill: k.fill, live: k.live}
}

// bodyRange is the part of the resource that a body is.
func bodyRange(resp *http.Response) (r ranges.Range, ok bool) {
	if resp.StatusCode != http.StatusPartialContent {
		return ranges.Range{End: resp.ContentLength}, resp.ContentLength >= 0
	}
	cr, err := ranges.ParseContentRange(resp.Header.Get("Content-Range"))
	return cr.Range, err == nil && len(resp.Header.Values("Content-Range")) == 1
}

// open makes or finds the entry that the body of resp goes to; owes is what a body
// that others may alter has to turn out to be, nil for any other.
func (k *keeper) open(resp *http.Response, r ranges.Range, total int64, owes *unproven) bool {
	answer := k.response(resp)
	if k.into != nil {
		if k.into.entry == nil || !k.continues(answer, total) {
			return false
		}
		k.entry = k.into.entry.Acquire()
	} else if k.entry = k.newEntry(answer, total, owes); k.entry == nil {
		return false
	}
	k.fillFrom(k.entry, r)
	return true
}

// fillFrom begins to fill e, which is k's from now on, with r.
func (k *keeper) fillFrom(e *disk.Entry, r ranges.Range) {
	k.entry, k.fill, k.live = e, e.Fill(), k.v.c.lives.begin(e.ID(), r)
}

// continues reports that answer is of the version that is being completed.
func (k *keeper) continues(answer rules.Response, total int64) bool {
	want, ok := k.into.stored(k.v.t.Realm).Version()
	got, also := rules.VersionOf(answer)
	if k.into.running {
		got, also = rules.RunningVersionOf(answer)
	}
	return ok && also && want == got && total == k.into.total()
}

// newEntry makes the entry of a storable answer, or takes the one that holds the
// same version already; nil if it may not be kept.
func (k *keeper) newEntry(answer rules.Response, total int64, owes *unproven) *disk.Entry {
	ok, why := rules.Storable(k.v.req, answer)
	if k.why = why; !ok {
		return nil
	}
	m := newMeta(k.v.req.Key, rules.Keep(k.v.req, answer), k.v.t.Realm)
	k.v.public(m)
	m.Unproven = owes
	raw, err := m.encode()
	if err != nil || k.outlived() {
		return nil
	}
	if owes == nil { // one that owes must neither spoil nor displace what is right
		if e := k.sameVersion(m, answer, total); e != nil {
			_ = e.SetMeta(raw)
			k.v.c.displace(k.v.req.Key, m, e.ID())
			return e
		}
	}
	e, err := k.v.c.store.Create(keyOf(m.Key), raw, total)
	if err != nil {
		return nil
	}
	if owes == nil {
		k.v.c.displace(k.v.req.Key, m, e.ID())
	}
	return e
}

// sameVersion finds an entry that answer's bytes belong to as well.
func (k *keeper) sameVersion(m *meta, answer rules.Response, total int64) *disk.Entry {
	got, ok := rules.VersionOf(answer)
	if !ok {
		return nil
	}
	for _, o := range k.v.have {
		if have, also := o.stored(k.v.t.Realm).Version(); o.entry != nil && o.meta.Unproven == nil && also && have == got && o.total() == total && sameSelection(o.meta, m) {
			return o.entry.Acquire()
		}
	}
	return nil
}

// keep returns resp with a body that is kept as it is read.
func (k *keeper) keep(resp *http.Response) *http.Response {
	v, flight := k.v, k.v.flight
	from, accelerated := resp.Body.(altered)
	v.c.headed(v, k.response(resp))
	v.noteDigests(k.response(resp))
	resp.Body = v.watchToken(resp)
	r, known := bodyRange(resp)
	total := r.End
	if resp.StatusCode == http.StatusPartialContent {
		cr, _ := ranges.ParseContentRange(resp.Header.Get("Content-Range"))
		total = cr.Total
	}
	body := &keptBody{k: k, ReadCloser: resp.Body, r: r, pos: r.Start, known: known}
	switch {
	case k.taken:
	case v.in.Method != http.MethodGet:
		body = nil
	case known && total > smallMax:
		if !k.open(resp, r, total, nil) {
			body = nil
		}
	case resp.StatusCode == http.StatusPartialContent || !known && !delimited(resp) || !k.storable(resp):
		body = nil
	default:
		body.small = new(bytes.Buffer)
		body.meta = newMeta(v.req.Key, rules.Keep(v.req, k.response(resp)), v.t.Realm)
		v.public(body.meta)
		// It comes in a moment: who waits gets it whole. Of one whose length is not told
		// that is a guess, which holds until it has been wrong, or it is long.
		body.flight, v.flight = v.flight, nil
		flight.guess(!known)
	}
	cs := v.status(v.d.Fwd)
	cs.Stored, cs.FwdStatus = body != nil && known, resp.StatusCode // else it may yet be too long (RFC 9211 §2.5)
	if body == nil {
		cs.Detail = k.why
		k.outdated(resp)
	}
	if resp.StatusCode < 500 && resp.StatusCode != http.StatusNotModified { // those say nothing of the next one
		flight.learn(body != nil, v.c.o.Now())
	}
	cs.Append(resp.Header)
	if body != nil {
		resp.Body = body
	}
	v.c.stats.missed.Add(1)
	if k.carry != nil && accelerated {
		return k.carried(resp, from)
	}
	return resp
}

// outdated makes what was asked about one to be asked about again where an answer
// that is not kept shows that it has changed: if fresh, it would be served on.
func (k *keeper) outdated(resp *http.Response) {
	v := k.v
	if v.d.At < 0 || v.in.Method != http.MethodGet || ranges.ByPerson(v.in.Header) || !rules.Supersedes(k.response(resp), v.known[v.d.At]) {
		return
	}
	v.have[v.d.At].invalidate()
}

// delimited reports that the end of a body of unknown length shows. Where it is
// the end of the connection, a body that was cut looks whole (RFC 9112 §8).
func delimited(resp *http.Response) bool {
	return resp.ProtoMajor > 1 || len(resp.TransferEncoding) > 0
}

func (k *keeper) storable(resp *http.Response) (ok bool) {
	ok, k.why = rules.Storable(k.v.req, k.response(resp))
	return ok
}

// headed enters what the answer to a HEAD says of what is stored.
func (c *Cache) headed(v *visit, answer rules.Response) {
	if v.in.Method != http.MethodHead {
		return
	}
	for i, o := range v.have {
		switch rules.FreshenByHead(v.req, v.known[i], answer) {
		case rules.HeadUpdates:
			v.refreshed(o, v.known[i], answer)
		case rules.HeadEnds:
			o.invalidate()
		}
	}
}

// filling is a ranges.Keeper.
type filling struct {
	fill *disk.Fill
	live *live
}

func (f *filling) WriteAt(p []byte, off int64) (int, error) {
	f.live.brought(off + int64(len(p)))
	return f.fill.WriteAt(p, off)
}

// Pace implements ranges.Keeper.
func (f *filling) Pace(ctx context.Context) { f.fill.Pace(ctx) }

func (f *filling) Close() {
	f.fill.Close()
	f.live.end()
}
