package cache

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"dtpx/cache/internal/rules"
	ranges "dtpx/range"
)

// source is an entry of a neighbour.
type source struct {
	n    Neighbour
	id   string
	held []ranges.Range
}

// borrow looks for v's resource at the neighbours'. What they have of the newest
// version that this client may get becomes an entry here, of which nothing is held
// yet, and which the origin has to confirm: its 304 costs no byte of a body.
func (v *visit) borrow() {
	if v.c.lan == nil || !v.shareable() || v.in.Header.Get("If-None-Match") != "" || v.in.Header.Get("If-Modified-Since") != "" {
		return
	}
	found, from := v.c.lan.find(v.in.Context(), v.req.Key, false)
	var best *meta
	var total int64
	var sources []source
	for i, o := range found {
		s := o.Meta.stored()
		if !s.Selects(v.in.Header) {
			continue
		}
		switch {
		case best == nil || o.Meta.Received.After(best.Received) && !same(best, total, o):
			best, total, sources = o.Meta, o.Total, nil
		case !same(best, total, o):
			continue
		}
		sources = append(sources, source{from[i], o.ID, o.Held})
	}
	if best == nil {
		return
	}
	v.adopt(best, total, sources)
}

// same reports that o is of the version of m.
func same(m *meta, total int64, o offered) bool {
	a, b := m.stored(), o.Meta.stored()
	a.Total, b.Total = total, o.Total
	va, ok := a.Version()
	vb, also := b.Version()
	return ok && also && va == vb
}

// adopt enters what neighbours hold as an object that must be validated.
func (v *visit) adopt(m *meta, total int64, sources []source) {
	n := *m
	n.Realms, n.Invalid, n.Signed, n.Open, n.Public = []string{v.t.Realm}, true, false, false, false
	n.Unproven = nil
	for _, o := range v.have { // a part of it is here already
		if o.entry != nil && o.total() == total && same(o.meta, total, offered{Total: total, Meta: m}) {
			o.lan = sources
			v.at(o)
			return
		}
	}
	raw, err := n.encode()
	if err != nil {
		return
	}
	e, err := v.c.store.Create(keyOf(n.Key), raw, total)
	if err != nil {
		return
	}
	o := &object{c: v.c, key: keyOf(n.Key), meta: &n, entry: e, lan: sources}
	v.have = append([]*object{o}, v.have...)
	v.at(o)
}

// at makes o the one that is asked about.
func (v *visit) at(o *object) {
	v.known = storedOf(v.have, v.t.Realm)
	v.d = rules.Decision{Verdict: rules.Validate, At: slices.Index(v.have, o), Fwd: rules.FwdStale}
}

// lend opens a gap with bytes of a neighbour; nil if none has the one at off.
func (v *visit) lend(ctx context.Context, o *object, off, end int64) *gap {
	for len(o.lan) > 0 {
		i := slices.IndexFunc(o.lan, func(s source) bool { return holds(s.held, off) > off })
		if i < 0 {
			return nil
		}
		s := o.lan[i]
		r := ranges.Range{Start: off, End: min(gapEnd(heldOf(o.entry), off, end), holds(s.held, off))}
		g, err := v.fromNeighbour(ctx, o, s, r)
		if err == nil {
			return g
		}
		v.c.log.Debug("a neighbour does not give what it has", "neighbour", s.n.Name, "err", err)
		o.lan = slices.Delete(slices.Clone(o.lan), i, i+1)
	}
	return nil
}

// holds is the end of the run of held bytes at off; off if there is none.
func holds(held []ranges.Range, off int64) int64 {
	for _, r := range held {
		if r.Contains(off) {
			return r.End
		}
	}
	return off
}

// fromNeighbour asks for r of s. A neighbour can only help: what it breaks off is
// fetched elsewhere, and it is not asked again.
func (v *visit) fromNeighbour(ctx context.Context, o *object, s source, r ranges.Range) (*gap, error) {
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://neighbour/data/"+s.id, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", r.Start, r.End-1))
	resp, err := s.n.Via.RoundTrip(req)
	if err != nil {
		cancel()
		return nil, err
	}
	if resp.StatusCode != http.StatusPartialContent || resp.ContentLength != r.Len() {
		resp.Body.Close()
		cancel()
		return nil, fmt.Errorf("answers %s with %d bytes for %d", resp.Status, resp.ContentLength, r.Len())
	}
	k := &keeper{v: v, into: o}
	k.fillFrom(o.entry.Acquire(), r)
	body := &keptBody{k: k, ReadCloser: resp.Body, r: r, pos: r.Start, known: true}
	v.c.stats.borrowed.Add(r.Len())
	return &gap{body: body, at: r.Start, end: r.End, cancel: cancel, lent: s.id}, nil
}
