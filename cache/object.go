package cache

import (
	"slices"

	"dtpx/cache/internal/disk"
	"dtpx/cache/internal/rules"
	ranges "dtpx/range"
)

// object is one stored response, as one request sees it: small ones in memory,
// all others on disk. Who got it calls release.
type object struct {
	c     *Cache
	key   disk.Key
	meta  *meta
	entry *disk.Entry  // nil: it is in memory only
	small *smallObject // of one in memory; with an entry: its bytes are there, too
	lan   []source     // neighbours that hold the same version

	adopted bool // it is here by their word
	running bool // it has no strong entity tag, and is read without a break since it began to come
}

// inMemory finds what is stored for a key without asking the disk.
func (c *Cache) inMemory(k rules.Key) (all []*object) {
	key := keyOf(k.ID)
	for _, s := range c.small.get(key) {
		if s.meta.Key == k.ID {
			all = append(all, &object{c: c, key: key, meta: s.meta, small: s})
		}
	}
	return all
}

// lookup finds all that is stored for a key. Of what is on disk, too, memory has
// a copy that may know less.
func (c *Cache) lookup(k rules.Key) (all []*object) {
	key := keyOf(k.ID)
	for _, e := range c.store.Lookup(key) {
		m, err := c.metas.of(e)
		if err != nil || m.Key != k.ID {
			c.store.Remove(e.ID()) // of another version of this program, or damaged
			e.Release()
			continue
		}
		all = append(all, &object{c: c, key: key, meta: m, entry: e})
	}
	for _, o := range c.inMemory(k) {
		i := slices.IndexFunc(all, func(d *object) bool { return sameSelection(d.meta, o.meta) })
		if i < 0 {
			all = append(all, o)
		} else if d := all[i]; d.total() == o.total() && d.meta.Received.Equal(o.meta.Received) {
			d.small = o.small // the entry may be replaced before its bytes are on disk
		}
	}
	return all
}

func releaseAll(all []*object) {
	for _, o := range all {
		o.release()
	}
}

func (o *object) release() {
	if o.entry != nil {
		o.entry.Release()
		o.entry = nil
	}
}

// total is the length of the representation.
func (o *object) total() int64 {
	if o.entry == nil {
		return o.small.said.Total
	}
	return o.entry.Total()
}

// stored is the response and what is there of it now. For a client of another
// realm than its own it is one that must be validated.
func (o *object) stored(realm string) *rules.Stored {
	if o.entry == nil {
		s := o.small.said
		s.Invalid = s.Invalid || !slices.Contains(o.meta.Realms, realm)
		return &s
	}
	s := o.meta.stored()
	s.Total = o.total()
	s.Invalid = s.Invalid || !slices.Contains(o.meta.Realms, realm)
	s.Running = o.running
	s.Held = o.held()
	s.Complete = o.entry.Complete() || holds(s.Held, 0) == s.Total
	return &s
}

// held is what can be had without the origin: what is here, and what neighbours
// hold. o is on disk.
func (o *object) held() []ranges.Range {
	here := heldOf(o.entry)
	if len(o.lan) == 0 {
		return here
	}
	var all ranges.Set
	for _, r := range here {
		all.Add(r)
	}
	for _, n := range o.lan {
		for _, r := range n.held {
			all.Add(r)
		}
	}
	return all.Ranges()
}

// heldOf is how many bytes of r are here.
func (o *object) heldOf(r ranges.Range) (n int64) {
	if o.entry == nil {
		return r.Len()
	}
	for _, h := range heldOf(o.entry) {
		n += max(0, min(h.End, r.End)-max(h.Start, r.Start))
	}
	return n
}

func storedOf(all []*object, realm string) (ss []*rules.Stored) {
	for _, o := range all {
		ss = append(ss, o.stored(realm))
	}
	return ss
}

// refresh replaces what is known of o.
func (o *object) refresh(m *meta) {
	o.meta = m
	if o.entry == nil {
		was := o.small
		o.small = newSmall(m, was.body)
		o.c.small.replace(o.key, was, o.small)
		return
	}
	o.c.small.drop(o.key, m)
	if raw, err := m.encode(); err == nil {
		_ = o.entry.SetMeta(raw) // if not, it is asked about once more
	}
}

// invalidate makes o one that must be validated before it is used.
func (o *object) invalidate() {
	if !o.meta.Invalid {
		m := *o.meta
		m.Invalid = true
		o.refresh(&m)
	}
}

// drop takes o out of the cache.
func (o *object) drop() {
	o.c.small.drop(o.key, o.meta)
	if o.entry != nil {
		o.c.store.Remove(o.entry.ID())
	}
}

// variantsMax bounds the responses of one URL: each is looked at for each request, and
// some servers vary by what anybody can make up.
const variantsMax = 32

// displace takes out what a new response of the same selection replaces, but for
// the one that is kept on, and the oldest where there are too many.
func (c *Cache) displace(k rules.Key, m *meta, but disk.ID) {
	key, mine := keyOf(k.ID), rules.SecondaryKey(m.Header, m.Select)
	c.small.dropIf(key, func(o *meta) bool { return rules.SecondaryKey(o.Header, o.Select) == mine })
	others := 0
	for _, e := range c.store.Lookup(key) { // newest first
		o, err := c.metas.of(e)
		switch {
		case e.ID() == but:
		case err != nil, others == variantsMax-1, rules.SecondaryKey(o.Header, o.Select) == mine:
			c.store.Remove(e.ID())
		default:
			others++
		}
		e.Release()
	}
}

// forget takes out all that is stored for a URL's key.
func (c *Cache) forget(k rules.Key) int {
	key := keyOf(k.ID)
	c.ended.note(key)
	n := c.small.dropIf(key, func(*meta) bool { return true })
	return max(n, c.store.RemoveKey(key))
}

func sameSelection(a, b *meta) bool {
	return rules.SecondaryKey(a.Header, a.Select) == rules.SecondaryKey(b.Header, b.Select)
}
