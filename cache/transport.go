package cache

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"

	"dtpx/cache/internal/rules"
	ranges "dtpx/range"
)

// visit is one request on its way through the cache.
type visit struct {
	t         *Transport
	c         *Cache
	in        *http.Request // as the client sent it
	into      http.Header   // where the fields of the answer go; nil: anywhere
	req       rules.Request
	have      []*object
	known     []*rules.Stored // the same, as the rules see them
	d         rules.Decision
	flight    *flight // that others wait for
	reach     atomic.Int32
	collapsed bool // it has waited for another client's
}

// RoundTrip answers req from the cache where it may, and otherwise forwards it.
func (t *Transport) RoundTrip(in *http.Request) (*http.Response, error) {
	v := &visit{t: t, c: t.Cache, in: in}
	if why := v.admit(); why != "" {
		return v.pass()
	}
	if resp := v.fast(); resp != nil {
		return resp, nil
	}
	v.in = in.WithContext(ranges.WithParts(in.Context()))
	v.find()
	misses := v.d.Verdict == rules.Miss && v.d.Fwd != rules.FwdRequest
	if misses || v.hollow() {
		f, first := v.c.flying.enter(v, misses)
		switch {
		case first:
			v.flight = f
			v.find() // the one before may have ended since it was looked
		case f != nil && f.wait(v): // another client was fetching just that
			v.find()
		}
	}
	resp, err := v.lent(), error(nil)
	if resp == nil {
		resp, err = v.answer()
	}
	v.flight.end()
	if err == nil && resp.StatusCode < 500 { // else the origin has said nothing of them
		v.unconfirmed()
	}
	releaseAll(v.have)
	return resp, err
}

// hollow reports that of what is to be served nothing is here: perhaps an entry that has
// just been made, before its bytes are in it or anybody can follow it.
func (v *visit) hollow() bool {
	if v.d.Verdict != rules.Serve && v.d.Verdict != rules.ServeStale {
		return false
	}
	s := v.known[v.d.At]
	return !s.Complete && len(s.Held) == 0
}

// Hit answers req if memory alone is enough for that, with its fields in h, which is
// empty, and returns nil otherwise.
func (t *Transport) Hit(req *http.Request, h http.Header) *http.Response {
	v := &visit{t: t, c: t.Cache, in: req, into: h}
	if v.admit() != "" {
		return nil
	}
	return v.fast()
}

// admit reports why a request does not meet the cache.
func (v *visit) admit() string {
	key, err := rules.KeyOf(v.in.URL, v.c.o.Keys)
	if err != nil {
		return err.Error()
	}
	if v.in.Method != http.MethodGet && v.in.Method != http.MethodHead {
		return "method"
	}
	body := v.in.Body != nil && v.in.Body != http.NoBody
	v.req = rules.Request{Method: v.in.Method, URL: v.in.URL, Host: v.in.Host, Header: v.in.Header, Body: body, Key: key}
	return rules.Bypass(v.req)
}

// pass forwards a request that the cache takes no part in, but for what it may
// change.
func (v *visit) pass() (*http.Response, error) {
	v.c.stats.bypassed.Add(1)
	resp, err := v.t.Next.RoundTrip(v.in)
	if err == nil && v.in.Method != http.MethodGet && v.in.Method != http.MethodHead {
		v.c.invalidated(v.in, resp)
	}
	return resp, err
}

// invalidated takes out what an unsafe request has changed (RFC 9111 §4.4).
func (c *Cache) invalidated(req *http.Request, resp *http.Response) {
	n := 0
	for _, u := range rules.Invalidated(req.Method, req.URL, resp.StatusCode, resp.Header) {
		if k, err := rules.KeyOf(u, c.o.Keys); err == nil {
			n += c.forget(k)
		}
	}
	if n > 0 {
		c.goOn("sync", func(context.Context) { c.lasts() })
	}
}

// fast answers from memory, if that is all there is to it.
func (v *visit) fast() *http.Response {
	have := v.c.inMemory(v.req.Key)
	if len(have) == 0 {
		return nil
	}
	v.have, v.known = have, storedOf(have, v.t.Realm)
	v.d = rules.Decide(v.req, v.known, v.c.o.Now())
	if v.d.Verdict != rules.Serve {
		return nil
	}
	a := rules.Evaluate(v.req, v.known[v.d.At])
	if a.Kind == rules.Elsewhere {
		return nil
	}
	return v.serve(v.have[v.d.At], v.known[v.d.At], a, nil, rules.CacheStatus{})
}

// find looks for what is stored, and decides.
func (v *visit) find() {
	releaseAll(v.have)
	v.have = v.c.lookup(v.req.Key)
	if v.in.Header.Get("Range") != "" { // nobody can tell of a part whether it is right
		v.have = slices.DeleteFunc(v.have, func(o *object) bool {
			if o.meta.Unproven != nil {
				o.release()
			}
			return o.meta.Unproven != nil
		})
	}
	v.known = storedOf(v.have, v.t.Realm)
	v.d = rules.Decide(v.req, v.known, v.c.o.Now())
	if (v.d.Verdict == rules.Serve || v.d.Verdict == rules.ServeStale) && rules.OnlyIfCached(v.in.Header) {
		if _, _, a := v.chosen(); !a.Held { // fresh, but not all there
			v.d.Verdict = rules.GatewayTimeout
		}
	}
}

func (v *visit) answer() (*http.Response, error) {
	if v.d.Verdict == rules.Miss && v.d.Fwd != rules.FwdRequest {
		v.borrow()
	}
	switch v.d.Verdict {
	case rules.GatewayTimeout:
		return v.timeout(), nil
	case rules.Serve, rules.ServeStale:
		o, s, a := v.chosen()
		if a.Kind == rules.Elsewhere {
			v.d.Fwd = rules.FwdRequest
			break
		}
		if !a.Held && !v.follows(o, a) {
			v.d.Fwd = rules.FwdPartial
			return v.validate(v.withNeighbours())
		}
		if v.d.Verdict == rules.ServeStale {
			v.refreshLater()
		}
		return v.serve(o, s, a, nil, v.status("")), nil
	case rules.Validate:
		return v.validate(v.withNeighbours())
	}
	return v.forward(v.in, nil)
}

// withNeighbours is chosen, after what is missing was looked for on the LAN.
func (v *visit) withNeighbours() (*object, *rules.Stored, rules.Answer) {
	o, s, a := v.chosen()
	if a.Held || o.lan != nil {
		return o, s, a
	}
	v.borrow()
	return v.chosen()
}

// chosen is the stored response that the decision is about, as it is now: while
// somebody fetches it, more of it may have come since it was looked for.
func (v *visit) chosen() (*object, *rules.Stored, rules.Answer) {
	o := v.have[v.d.At]
	v.known[v.d.At] = o.stored(v.t.Realm)
	return o, v.known[v.d.At], rules.Evaluate(v.req, v.known[v.d.At])
}

// follows reports that somebody is just fetching what is missing for a. What has no
// strong entity tag can be followed if its date is strong, as that is good for the rest
// of this download, should the one who fetches it now leave.
func (v *visit) follows(o *object, a rules.Answer) bool {
	if o.entry == nil {
		return false
	}
	at := firstMissing(o.entry, a.Range.Start)
	lives := v.c.lives.soon(o.entry.ID(), at) != nil
	s := v.known[v.d.At]
	s.Running = false
	if _, strong := s.Version(); strong {
		return lives || at >= a.Range.End
	}
	s.Running = lives
	_, o.running = s.Version()
	return o.running
}

func (v *visit) status(fwd rules.Fwd) rules.CacheStatus {
	return rules.CacheStatus{Fwd: fwd, Collapsed: v.collapsed}
}

// timeout is the answer to only-if-cached (RFC 9111 §5.2.1.7).
func (v *visit) timeout() *http.Response {
	h := http.Header{"Content-Length": {"0"}}
	v.status(rules.FwdRequest).Append(h)
	return response(v.in, http.StatusGatewayTimeout, h, http.NoBody, 0)
}

// validate asks the origin about o, which is stale or of which a part is missing
// (RFC 9111 §4.3, §3.3).
func (v *visit) validate(o *object, s *rules.Stored, a rules.Answer) (*http.Response, error) {
	if !a.Held && a.Kind != rules.Elsewhere {
		if resp, err, ok := v.complete(o, s, a); ok {
			return resp, err
		}
	}
	ask := v.asking(rules.Revalidation(v.req, v.known, v.d.At))
	return v.forward(ask, o)
}

// asking is the client's request with other fields.
func (v *visit) asking(h http.Header) *http.Request {
	ask := v.in.WithContext(v.in.Context())
	ask.Header = h
	return ask
}

// forward sends ask, which is the client's request or a conditional form of it,
// and makes an answer of what comes back. about is what it asks about.
func (v *visit) forward(ask *http.Request, about *object) (*http.Response, error) {
	if about == nil && v.d.Fwd == rules.FwdVaryMiss {
		ask = v.asking(rules.Revalidation(v.req, v.known, -1))
	}
	k := v.newKeeper()
	k.carry = v.carries(ask)
	resp, err := k.send(ask)
	if instead := v.standIn(about, resp, err); instead != nil {
		return instead, nil
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusNotModified && ask != v.in {
		return v.notModified(resp, k)
	}
	return k.keep(resp), nil
}

// standIn answers from a stale response where the origin fails (RFC 5861 §4).
func (v *visit) standIn(o *object, resp *http.Response, err error) *http.Response {
	status := 0
	if err == nil {
		status = resp.StatusCode
	}
	if o == nil || o.meta.Invalid || err == nil && status < 500 || v.in.Context().Err() != nil {
		return nil
	}
	s := o.stored(v.t.Realm)
	a := rules.Evaluate(v.req, s)
	if !a.Held || !rules.StaleOnError(v.req, s, status, v.c.o.Now()) {
		return nil
	}
	if resp != nil {
		resp.Body.Close()
	}
	cs := v.status(rules.FwdStale)
	cs.FwdStatus = status
	return v.serve(o, s, a, nil, cs)
}

// notModified makes an answer of a 304 (RFC 9111 §4.3.4).
func (v *visit) notModified(resp *http.Response, k *keeper) (*http.Response, error) {
	answer := k.response(resp)
	update, own := rules.Freshen(v.req, v.known, v.d.At, answer)
	switch {
	case len(update) == 0 && own:
		return resp, nil
	case len(update) == 0: // about nothing that is of use: ask as the client did
		discard(resp)
		k = v.newKeeper()
		resp, err := k.send(v.in)
		if err != nil {
			return nil, err
		}
		return k.keep(resp), nil
	}
	discard(resp)
	var last *object
	for _, i := range update {
		v.refreshed(v.have[i], v.known[i], answer)
		if last == nil {
			last = v.have[i]
		}
	}
	s := last.stored(v.t.Realm)
	s.Invalid = false
	cs := v.status(rules.FwdStale)
	if v.d.Verdict == rules.Miss || v.d.Fwd != "" {
		cs.Fwd = v.d.Fwd
	}
	cs.FwdStatus = http.StatusNotModified
	if last.lan != nil {
		cs.Detail = "neighbour"
	}
	v.c.stats.validated.Add(1)
	return v.serve(last, s, rules.Evaluate(v.req, s), rules.Personal(answer.Header), cs), nil
}

// refreshed enters what the origin's answer says of o.
func (v *visit) refreshed(o *object, s *rules.Stored, answer rules.Response) {
	updated, effect := rules.Refresh(s, v.req, answer)
	m := o.meta.with(&updated, v.t.Realm)
	v.public(m)
	v.noteDigests(answer)
	v.c.digests.Seen(m.Key)
	switch effect {
	case rules.Replace:
		m.Invalid = false
		o.refresh(m)
	case rules.AnswerOnly:
		o.meta = m
	case rules.Drop:
		o.drop()
		o.meta = m
	}
}

// discard reads a body that should be empty, so that its connection lives on.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	resp.Body.Close()
}

func response(req *http.Request, status int, h http.Header, body io.ReadCloser, length int64) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: body, ContentLength: length, Request: req,
	}
}

// refreshLater validates what was served stale, without the client (RFC 5861 §3), and
// without what says who that is: it may have left.
func (v *visit) refreshLater() {
	req, key := v.in, v.req.Key.ID
	v.c.goOn("validate "+key, func(ctx context.Context) {
		unseen := *v.t
		unseen.Watch = nil
		again := &visit{t: &unseen, c: v.c, in: req.Clone(ctx)}
		ranges.Anonymise(again.in.Header)
		if again.admit() != "" {
			return
		}
		again.in.Header.Del("Range")
		again.find()
		defer func() { releaseAll(again.have) }()
		if again.d.At < 0 || again.d.Verdict == rules.Serve {
			return
		}
		ask := again.asking(rules.Revalidation(again.req, again.known, again.d.At))
		resp, err := again.forward(ask, again.have[again.d.At])
		if err != nil {
			return
		}
		// A new one is to be kept; of a large one the client who wants it fetches the rest.
		if _, ours := resp.Body.(*reader); !ours && resp.ContentLength <= finishMax && v.c.spares(max(0, resp.ContentLength)) {
			_, _ = io.Copy(io.Discard, resp.Body)
		}
		resp.Body.Close()
	})
}
