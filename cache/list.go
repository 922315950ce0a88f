package cache

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"dtpx/cache/internal/disk"
	"dtpx/cache/internal/rules"
)

// Item is one stored response, as people see it.
type Item struct {
	URL    string    `json:"url"` // without its query, which may be a secret
	Status int       `json:"status"`
	Size   int64     `json:"size"`   // of the whole
	Held   int64     `json:"held"`   // of it, bytes that are there
	Stored int64     `json:"stored"` // bytes on disk
	State  string    `json:"state"`  // fresh, stale, or no-cache: asked about at each use
	Used   time.Time `json:"used"`
	Uses   int64     `json:"uses"`
	Since  time.Time `json:"since"`
	Type   string    `json:"type,omitempty"`
}

// Part is how much of it is there, 0 to 1.
func (i Item) Part() float64 {
	if i.Size == 0 {
		return 1
	}
	return float64(i.Held) / float64(i.Size)
}

// List is what is on disk, what was used last first.
func (c *Cache) List() []Item {
	all := []Item{}
	c.each(func(e *disk.Entry, m *meta) { all = append(all, c.item(e, m)) })
	slices.SortFunc(all, func(a, b Item) int { return b.Used.Compare(a.Used) })
	return all
}

// each calls f with what is on disk, one by one; the entry is f's for the call only.
func (c *Cache) each(f func(e *disk.Entry, m *meta)) {
	var ids []disk.ID
	c.store.Entries(func(i disk.Info) bool {
		ids = append(ids, i.ID)
		return true
	})
	for _, id := range ids {
		if e, ok := c.store.Get(id); ok {
			if m, err := c.metas.of(e); err == nil {
				f(e, m)
			}
			e.Release()
		}
	}
}

func (c *Cache) item(e *disk.Entry, m *meta) Item {
	i := e.Info()
	it := Item{
		URL: shown(m.Key), Status: m.Status, Size: e.Total(), Stored: i.Stored, Used: i.Used, Uses: i.Uses,
		Since: m.Received, Type: m.Header.Get("Content-Type"), State: "fresh",
	}
	for _, r := range e.Held() {
		it.Held += r.End - r.Start
	}
	s := m.stored()
	switch f := s.Freshness(); {
	case m.Invalid, f.Left(c.o.Now()) <= 0:
		it.State = "stale"
	case f.NoCache:
		it.State = "no-cache"
	}
	return it
}

// shown is a key without what may be secret of it.
func shown(key string) string {
	key = strings.TrimPrefix(key, "signed ")
	if at, _, ok := strings.Cut(key, "?"); ok {
		return at + hidden
	}
	return key
}

// keysShown are the keys of what is on disk that List shows as text.
func (c *Cache) keysShown(text string) (keys []string) {
	c.each(func(_ *disk.Entry, m *meta) {
		if shown(m.Key) == text {
			keys = append(keys, m.Key)
		}
	})
	return keys
}

// hidden stands for a query.
const hidden = "?…"

// Remove takes out what is stored of a URL and returns how many responses. They do
// not return if the power fails. A URL as List shows it is all of them.
func (c *Cache) Remove(rawURL string) (int, error) {
	if strings.HasSuffix(rawURL, hidden) {
		n := 0
		for _, k := range c.keysShown(rawURL) {
			n += c.forget(rules.Key{ID: k})
		}
		c.lasts()
		return n, nil
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return 0, errURL
	}
	k, err := rules.KeyOf(u, c.o.Keys)
	if err != nil {
		return 0, err
	}
	n := c.forget(k)
	c.lasts()
	return n, nil
}

// Purge takes out everything, for good as well, and forgets which lists of digests
// have come by.
func (c *Cache) Purge() int {
	c.ended.all()
	c.small.clear()
	c.digests.Forget()
	n := c.store.Purge()
	c.lasts()
	return n
}

// lasts makes what was removed stay so if the power fails. Of a disk that is off
// nothing is served.
func (c *Cache) lasts() {
	if err := c.store.Sync(); err != nil && !errors.Is(err, disk.ErrOff) {
		c.log.Warn("what was taken out of the cache may return if the power fails", "err", err)
	}
}

// Verified is what Verify has found.
type Verified struct {
	Entries int `json:"entries"`
	Damaged int `json:"damaged"` // blocks, dropped
}

// Verify reads all that is stored and drops what is damaged.
func (c *Cache) Verify(ctx context.Context) (v Verified, err error) {
	err = c.store.Verify(ctx, func(_ disk.Info, bad int) {
		v.Entries++
		v.Damaged += bad
	})
	return v, err
}

var errURL = errors.New("that is no URL")
