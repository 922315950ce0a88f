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
	entry *disk.Entry // nil: it is in memory only
	body  []byte      // of one in memory
	lan   []source    // neighbours that hold the same version
}

// inMemory finds what is stored for a key without asking the disk.
func (c *Cache) inMemory(k rules.Key) (all []*object) {
	key := keyOf(k.ID)
	for _, s := range c.small.get(key) {
		if s.meta.Key == k.ID {
			all = append(all, &object{c: c, key: key, meta: s.meta, body: s.body})
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
		if !slices.ContainsFunc(all, func(d *object) bool { return sameSelection(d.meta, o.meta) }) {
			all = append(all, o)
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
		return int64(len(o.body))
	}
	return o.entry.Total()
}

// stored is the response and what is there of it now. For a client of another
// realm than its own it is one that must be validated.
func (o *object) stored(realm string) *rules.Stored {
	s := o.meta.stored()
	s.Total = o.total()
	s.Invalid = s.Invalid || !slices.Contains(o.meta.Realms, realm)
	if o.entry == nil {
		s.Complete = true
		s.Held = []ranges.Range{{Start: 0, End: s.Total}}
		return &s
	}
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
		o.c.small.put(o.key, &smallObject{meta: m, body: o.body})
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

// displace takes out what a new response of the same selection replaces, but for
// the one that is kept on.
func (c *Cache) displace(k rules.Key, m *meta, but disk.ID) {
	key, mine := keyOf(k.ID), rules.SecondaryKey(m.Header, m.Select)
	c.small.dropIf(key, func(o *meta) bool { return rules.SecondaryKey(o.Header, o.Select) == mine })
	for _, e := range c.store.Lookup(key) {
		o, err := c.metas.of(e)
		if e.ID() != but && (err != nil || rules.SecondaryKey(o.Header, o.Select) == mine) {
			c.store.Remove(e.ID())
		}
		e.Release()
	}
}

// forget takes out all that is stored for a URL's key.
func (c *Cache) forget(k rules.Key) int {
	key := keyOf(k.ID)
	n := c.small.dropIf(key, func(*meta) bool { return true })
	return max(n, c.store.RemoveKey(key))
}

func sameSelection(a, b *meta) bool {
	return rules.SecondaryKey(a.Header, a.Select) == rules.SecondaryKey(b.Header, b.Select)
}
