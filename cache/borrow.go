package cache

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"dtpx/cache/internal/disk"
	"dtpx/cache/internal/rules"
	ranges "dtpx/range"
)

// source is an entry of a neighbour.
type source struct {
	n    Neighbour
	id   string
	held []ranges.Range
}

// copies are what neighbours hold of one version.
type copies struct {
	m       *meta
	total   int64
	sources []source
	selects bool // what v asks for, whatever the origin says
}

// borrow looks for v's resource at the neighbours'. What they have of the versions
// that this client may get becomes entries here, of which nothing is held yet, and
// which the origin has to confirm: its 304 costs no byte of a body.
func (v *visit) borrow() {
	if v.c.lan == nil || !v.shareable() || v.in.Header.Get("If-None-Match") != "" || v.in.Header.Get("If-Modified-Since") != "" {
		return
	}
	for found, from := range v.c.lan.find(v.in.Context(), v.req.Key, false) {
		if all := v.versions(found, from); len(all) > 0 {
			v.adopt(all)
			return
		}
	}
}

// versions sorts what is offered by version, the likeliest one first: that of who has
// been of use, then what v asks for, then the newest.
func (v *visit) versions(found []offered, from []Neighbour) (all []*copies) {
	for i, o := range found {
		s := o.Meta.stored()
		if !s.Readable(v.in.Header) {
			continue
		}
		// Programs differ in Accept-Encoding, and most servers name that in Vary.
		// Where the fields differ the origin's 304 says as well that it would send
		// this one.
		at := slices.IndexFunc(all, func(c *copies) bool { return same(c.m, c.total, o) })
		if at < 0 {
			at = len(all)
			all = append(all, &copies{m: o.Meta, total: o.Total, selects: s.Selects(v.in.Header)})
		}
		all[at].sources = append(all[at].sources, source{from[i], o.ID, o.Held})
	}
	slices.SortStableFunc(all, func(a, b *copies) int {
		return cmp.Or(v.c.lan.class(a.sources[0].n)-v.c.lan.class(b.sources[0].n), order(b.selects)-order(a.selects), b.m.Received.Compare(a.m.Received))
	})
	return all[:min(len(all), askMost)]
}

func order(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// same reports that o is of the version of m.
func same(m *meta, total int64, o offered) bool {
	a, b := m.stored(), o.Meta.stored()
	a.Total, b.Total = total, o.Total
	va, ok := a.Version()
	vb, also := b.Version()
	return ok && also && va == vb
}

// adopt enters what neighbours hold as objects that must be validated, the first one
// above all: the origin is asked about each of them.
func (v *visit) adopt(all []*copies) {
	var first *object
	for _, c := range slices.Backward(all) {
		if o := v.adoptOne(c); o != nil {
			first = o
		}
	}
	if first != nil {
		v.known = storedOf(v.have, v.t.Realm)
		v.d = rules.Decision{Verdict: rules.Validate, At: slices.Index(v.have, first), Fwd: rules.FwdStale}
	}
}

func (v *visit) adoptOne(c *copies) *object {
	n := *c.m
	n.Realms, n.Invalid, n.Signed, n.Open, n.Public = []string{v.t.Realm}, true, false, false, false
	n.Unproven = nil
	for _, o := range v.have { // a part of it is here already
		if o.entry != nil && o.total() == c.total && same(o.meta, c.total, offered{Total: c.total, Meta: c.m}) {
			o.lan = c.sources
			return o
		}
	}
	raw, err := n.encode()
	if err != nil {
		return nil
	}
	e, err := v.c.store.Create(keyOf(n.Key), raw, c.total)
	if err != nil {
		return nil
	}
	o := &object{c: v.c, key: keyOf(n.Key), meta: &n, entry: e, lan: c.sources, adopted: true}
	v.have = append([]*object{o}, v.have...)
	return o
}

// unconfirmed notes whose versions the origin has not confirmed. The entries, of which
// nothing is held, end with the visit.
func (v *visit) unconfirmed() {
	for _, o := range v.have {
		if !o.adopted || !o.meta.Invalid {
			continue
		}
		for _, s := range o.lan {
			v.c.lan.disappoints(s.n)
		}
	}
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
		v.without(ctx, o, s)
	}
	return nil
}

// without goes on without a source of o that has not given what it has.
func (v *visit) without(ctx context.Context, o *object, lost source) {
	o.lan = slices.DeleteFunc(slices.Clone(o.lan), func(s source) bool { return s.n.ID == lost.n.ID && s.id == lost.id })
	if ctx.Err() == nil {
		v.c.lan.disappoints(lost.n)
	}
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
	giveUp := func() { v.c.lan.late(s.n); cancel() }
	tooLong := time.AfterFunc(growTime, giveUp)
	resp, err := s.n.Via.RoundTrip(req)
	tooLong.Stop()
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
	body := &keptBody{k: k, ReadCloser: &prompt{ReadCloser: resp.Body, giveUp: giveUp}, r: r, pos: r.Start, known: true}
	v.c.stats.borrowed.Add(r.Len())
	return &gap{body: body, at: r.Start, end: r.End, cancel: cancel, lent: &s}, nil
}

// prompt is a neighbour's body that ends where a client would have to wait for it:
// its machine may have gone to sleep, or want just that.
type prompt struct {
	io.ReadCloser
	giveUp func()
	waited time.Duration // in Read, since a block came
	got    int           // of the next one
}

// Read implements io.Reader.
func (p *prompt) Read(b []byte) (int, error) {
	tooLong := time.AfterFunc(growTime-p.waited, p.giveUp)
	began := time.Now()
	n, err := p.ReadCloser.Read(b)
	tooLong.Stop()
	p.waited += time.Since(began)
	if p.got += n; p.got >= disk.BlockSize {
		p.waited, p.got = 0, 0
	}
	return n, err
}
