package cache

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"

	"dtpx/cache/internal/disk"
	"dtpx/cache/internal/rules"
	ranges "dtpx/range"
)

// A neighbour that nobody has to trust can still give what the origin vouches for:
//
//	a digest is known, from the URL, from a list that came by, or the host gives them:
//	    ask the neighbours who has it; nobody: the origin gets the client's request
//	    ask the origin with HEAD: its fields, its version, perhaps its digest
//	    the bytes of that version from one neighbour, into an entry that is unproven
//	        small: look at them first; wrong ones the client never notices
//	        others: pass them on but for the last slice, until the whole matches
//	    proven when what the disk holds matches as well
//
// All but the bytes is the origin's, the fields too: a neighbour could make a page
// of a picture. Only whole bodies go this way, as a part matches nothing.

// unproven is what an entry has to turn out to be: a neighbour gave its bytes.
type unproven struct {
	Algo    string `json:"algo"`
	Hex     string `json:"hex"`
	From    string `json:"from,omitempty"`    // the neighbour's ID; empty: members that carried parts
	Name    string `json:"name,omitempty"`    // its name
	Certain bool   `json:"certain,omitempty"` // the digest is of the URL, or came with the very answer
}

// checkFirst is the size up to which a body is looked at before a byte of it is
// sent: some hundredths of a second on a LAN.
const checkFirst = 4 << 20

// vouched is what the origin is known to say of the content that v asks for.
func (v *visit) vouched() (d rules.Digest, certain, ok bool) {
	if d := v.req.Key.Digest; d != (rules.Digest{}) {
		return d, true, true
	}
	d, ok = v.c.digests.Lookup(v.req.Key.ID)
	return d, false, ok
}

// lent answers with a neighbour's bytes that the origin vouches for; nil if that
// cannot be.
func (v *visit) lent() *http.Response {
	if v.c.lan == nil || !v.lendable() {
		return nil
	}
	d, certain, ok := v.vouched()
	if !ok && !v.c.digests.DoesGive(hostOf(v.in)) {
		return nil
	}
	var head *rules.Response
	for found, from := range v.c.lan.find(v.in.Context(), v.req.Key, true) {
		if head == nil { // once
			if head = v.head(); head == nil {
				return nil
			}
			said := rules.Digests(v.in.URL, *head)
			if len(said) > 0 && !certain {
				d, certain, ok = said[0], true, true
			}
			if !ok || len(head.Header.Values("Content-Encoding")) > 0 && len(said) == 0 {
				return nil // a digest from a list is one of what is decoded, or of what is not: nobody can tell
			}
		}
		if resp := v.fromAny(found, from, *head, unproven{Algo: d.Algo, Hex: d.Hex, Certain: certain}); resp != nil {
			return resp
		}
	}
	return nil
}

// fromAny answers with the bytes of one who has the version in head, and with another
// one's where those were wrong before a client has seen any; nil if there is none left.
func (v *visit) fromAny(found []offered, from []Neighbour, head rules.Response, u unproven) *http.Response {
	for all := v.holders(found, from, head); len(all) > 0; all = all[1:] {
		u.From, u.Name = all[0].n.ID, all[0].n.Name
		o := v.owe(head, all[0], u)
		if o == nil {
			return nil
		}
		if resp := v.pay(o, head.Status); resp != nil || v.in.Context().Err() != nil {
			return resp
		}
	}
	return nil
}

// lendable reports that v asks for a whole body that is another client's as well
// as this one's, and that is not here, nor on its way.
func (v *visit) lendable() bool {
	for _, f := range []string{"Range", "If-None-Match", "If-Modified-Since"} {
		if v.in.Header.Get(f) != "" {
			return false
		}
	}
	switch v.d.Verdict {
	case rules.Miss:
		return v.d.Fwd != rules.FwdRequest && (v.shareable() || v.impersonal() && v.open())
	case rules.Serve:
		o, _, a := v.chosen()
		return !a.Held && !v.follows(o, a) && v.shareable()
	}
	return false
}

// hostOf names the host of a request among digests.
func hostOf(req *http.Request) string { return strings.ToLower(req.URL.Scheme + "://" + req.URL.Host) }

// head asks the origin about what v asks for, but for the content; nil if the
// answer is none that such content could belong to.
func (v *visit) head() *rules.Response {
	ask := v.in.WithContext(v.in.Context())
	ask.Method, ask.Header = http.MethodHead, v.in.Header.Clone()
	if v.req.Key.Signed { // for GET alone, as a rule
		ask.Method = http.MethodGet
		ask.Header.Set("Range", "bytes=0-0")
	}
	k := v.newKeeper()
	resp, err := k.send(ask)
	if err != nil {
		return nil
	}
	resp.Body.Close()
	answer, asked := k.response(resp), v.req
	if v.req.Key.Signed {
		if asked.Header = ask.Header; answer.Status != http.StatusPartialContent {
			return nil
		}
	}
	if ok, _ := rules.Storable(asked, answer); !ok {
		return nil
	}
	return &answer
}

// holders are the neighbours that hold the version in head: trusted ones first, then
// those of use, then who holds most. Who holds another one only counts for less.
func (v *visit) holders(found []offered, from []Neighbour, head rules.Response) (all []source) {
	want, strong := rules.VersionOf(head)
	for i, o := range found {
		s := o.Meta.stored()
		s.Total = o.Total
		if have, also := s.Version(); !strong || !also || have != want {
			continue
		}
		n := source{from[i], o.ID, o.Held}
		at := slices.IndexFunc(all, func(s source) bool { return s.n.ID == n.n.ID })
		switch {
		case at < 0:
			all = append(all, n)
		case n.size() > all[at].size(): // one of each: what it has twice is as wrong again
			all[at] = n
		}
	}
	for _, n := range from {
		if !slices.ContainsFunc(all, func(s source) bool { return s.n.ID == n.ID }) {
			v.c.lan.disappoints(n)
		}
	}
	slices.SortStableFunc(all, func(a, b source) int {
		return cmp.Or(order(b.n.Trusted)-order(a.n.Trusted), v.c.lan.class(a.n)-v.c.lan.class(b.n), cmp.Compare(b.size(), a.size()))
	})
	return all
}

// size is how many bytes s says that it holds.
func (s source) size() (n int64) {
	for _, r := range s.held {
		n += r.Len()
	}
	return n
}

// owe makes the entry that s is to fill: what the origin says of it, and nothing
// of the content.
func (v *visit) owe(head rules.Response, s source, u unproven) *object {
	kept := rules.Keep(v.req, head)
	m := newMeta(v.req.Key, kept, v.t.Realm)
	v.public(m)
	m.Unproven = &u
	raw, err := m.encode()
	if err != nil {
		return nil
	}
	e, err := v.c.store.Create(keyOf(m.Key), raw, kept.Total)
	if err != nil {
		return nil
	}
	o := &object{c: v.c, key: keyOf(m.Key), meta: m, entry: e, lan: []source{s}}
	v.have = append([]*object{o}, v.have...)
	v.known = storedOf(v.have, v.t.Realm)
	return o
}

// pay answers from o, the first of v.have; nil if its bytes have turned out to be
// wrong before a client has seen any.
func (v *visit) pay(o *object, status int) *http.Response {
	s := v.known[0]
	if o.total() <= checkFirst && !v.proves(o, s) {
		o.release()
		v.have, v.known = v.have[1:], v.known[1:]
		return nil
	}
	cs := v.status(v.d.Fwd)
	if cs.Fwd == "" {
		cs.Fwd = rules.FwdPartial
	}
	cs.FwdStatus, cs.Stored, cs.Detail = status, true, "neighbour"
	v.c.stats.validated.Add(1)
	return v.serve(o, s, rules.Evaluate(v.req, s), nil, cs)
}

// proves reads all of o.
func (v *visit) proves(o *object, s *rules.Stored) bool {
	body := v.newReader(o, s, ranges.Range{End: o.total()}, nil)
	b, err := io.ReadAll(body)
	body.Close()
	if err != nil {
		return false
	}
	if !o.meta.Unproven.is(bytes.NewReader(b)) {
		v.c.condemn(o.entry.ID(), o.meta)
		return false
	}
	v.c.prove(o.entry)
	if m, err := v.c.metas.of(o.entry); err == nil {
		o.meta = m
	}
	return true
}

// is reports whether a whole body is what it has to be.
func (u *unproven) is(r io.Reader) bool {
	h := rules.Digest{Algo: u.Algo, Hex: u.Hex}.Hash()
	if _, err := io.Copy(h, r); err != nil {
		return false
	}
	return u.matches(h.Sum(nil))
}

// named is the hash that the URL says what is kept as m has; nil where it says none,
// or nobody can tell whether of the coded form.
func (v *visit) named(m *meta) *unproven {
	d := v.req.Key.Digest
	if d == (rules.Digest{}) || m.Status != http.StatusOK || m.Unproven != nil || len(m.Header["Content-Encoding"]) > 0 {
		return nil
	}
	return &unproven{Algo: d.Algo, Hex: d.Hex}
}

// compare drops what has come whole and is not what its URL says. apt and docker notice
// and ask again, but would get the same from here until it was stale: a page of a hotel's
// network, say, or what a failing origin sent.
func (v *visit) compare(e *disk.Entry) {
	m, err := v.c.metas.of(e)
	if err != nil || v.named(m) == nil || !e.Complete() {
		return
	}
	id, want := e.ID(), v.named(m)
	v.c.goOn("compare "+id.String(), func(context.Context) {
		e, ok := v.c.store.Get(id)
		if !ok {
			return
		}
		defer e.Release()
		if !want.is(io.NewSectionReader(e, 0, e.Total())) && e.Complete() {
			v.c.store.Remove(id)
			v.c.notNamed(v.in.URL.Host)
		}
	})
}

func (c *Cache) notNamed(host string) {
	c.log.Warn("what a server sent is not what the digest in its URL says; it is not kept", "host", host)
}

// prove looks at what the disk holds of an entry that a client has had whole.
func (c *Cache) prove(e *disk.Entry) {
	m, err := c.metas.of(e)
	if err != nil || m.Unproven == nil || !e.Complete() {
		return
	}
	if !m.Unproven.is(io.NewSectionReader(e, 0, e.Total())) {
		if e.Complete() { // otherwise a block could not be read: somebody fetches it
			c.condemn(e.ID(), m)
		}
		return
	}
	c.accept(e, m)
}

// proveLater does it without the client.
func (c *Cache) proveLater(id disk.ID) {
	c.goOn("prove "+id.String(), func(context.Context) {
		if e, ok := c.store.Get(id); ok {
			c.prove(e)
			e.Release()
		}
	})
}

// condemn takes out an entry whose bytes are not what the origin says, and names who
// gave them.
func (c *Cache) condemn(id disk.ID, m *meta) {
	c.store.Remove(id)
	if !m.Unproven.Certain {
		c.digests.Doubt(m.Key)
	}
	c.stats.wrong.Add(1)
	switch {
	case c.lan == nil:
	case m.Unproven.From == "":
		c.lan.pause()
	default:
		c.lan.blame(m.Unproven)
	}
}
