package cache

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"dtpx/cache/internal/disk"
	"dtpx/cache/internal/rules"
)

type counters struct {
	hits, hitBytes, validated, keptBytes, completed, missed, bypassed, borrowed, given, wrong atomic.Int64
}

// hit counts an answer that cost the origin nothing.
func (c *counters) hit(method string, a rules.Answer) {
	c.hits.Add(1)
	if method == http.MethodGet && (a.Kind == rules.Whole || a.Kind == rules.Part) {
		c.hitBytes.Add(a.Range.Len())
	}
}

// kept counts an answer that the origin was asked about, or for a part of: n bytes of
// its body were here.
func (c *counters) kept(method string, n int64) {
	if method == http.MethodGet {
		c.keptBytes.Add(n)
	}
}

// Stats are counted since Open, but for what is said to be of now.
type Stats struct {
	Dir     string `json:"dir"`
	Size    int64  `json:"size"`  // the budget, bytes
	Bytes   int64  `json:"bytes"` // on disk now
	Entries int    `json:"entries"`

	Complete    int   `json:"complete"`     // entries that are whole, now, of those looked at since Open
	Memory      int64 `json:"memory"`       // bytes of small answers in memory now
	MemoryCount int   `json:"memory_count"` // of how many URLs

	Hits       int64             `json:"hits"`                 // answers without asking the origin
	HitBytes   int64             `json:"hit_bytes"`            // bytes of their bodies
	Validated  int64             `json:"validated"`            // answers that the origin only confirmed
	KeptBytes  int64             `json:"kept_bytes"`           // bytes of confirmed and of completed answers that were here
	Completed  int64             `json:"completed"`            // parts fetched of what was there in part
	Misses     int64             `json:"misses"`               // answers of the origin
	Summary    string            `json:"summary,omitempty"`    // version of what is offered to neighbours
	Neighbours map[string]string `json:"neighbours,omitempty"` // versions of theirs that are known, by ID
	Borrowed   int64             `json:"borrowed"`             // bytes asked of neighbours
	Given      int64             `json:"given"`                // bytes given to neighbours
	Wrong      int64             `json:"wrong"`                // bodies of neighbours that were not what the origin's digest says
	Barred     []string          `json:"barred,omitempty"`     // neighbours that are not asked because of that
	Digests    int64             `json:"digests"`              // URLs whose content's digest is known
	Bypassed   int64             `json:"bypassed"`             // requests that the cache took no part in
	Saved      int64             `json:"saved"`                // bytes of disk by compression
	Evicted    int64             `json:"evicted"`              // entries
	Dropped    int64             `json:"dropped"`              // blocks not kept: the disk was slow or full
	Damaged    int64             `json:"damaged"`              // blocks that were not what was written
	Off        string            `json:"off,omitempty"`        // why nothing is kept on disk now
	OffSince   *time.Time        `json:"off_since,omitempty"`

	DiskWritten int64 `json:"blocks_written"`
}

// Stats of the cache.
func (c *Cache) Stats() Stats {
	d := c.store.Stats()
	n, mem := c.small.size()
	s := Stats{
		Dir: c.o.Dir, Size: d.Size, Bytes: d.Bytes, Entries: d.Entries, Memory: mem, MemoryCount: n,
		Hits: c.stats.hits.Load(), HitBytes: c.stats.hitBytes.Load(), Validated: c.stats.validated.Load(),
		KeptBytes: c.stats.keptBytes.Load(), Completed: c.stats.completed.Load(), Misses: c.stats.missed.Load(), Bypassed: c.stats.bypassed.Load(),
		Borrowed: c.stats.borrowed.Load(), Given: c.stats.given.Load(), Wrong: c.stats.wrong.Load(),
		Saved: d.Saved, Evicted: d.Evicted, Dropped: d.Dropped + d.Refused, Damaged: d.Damaged, Off: d.Off, DiskWritten: d.Written,
	}
	if d.Off != "" {
		s.OffSince = &d.OffSince
	}
	c.mu.Lock()
	offer := c.offer
	c.mu.Unlock()
	if offer != nil {
		s.Summary = strconv.FormatUint(offer.Version(), 16)
	}
	if c.lan != nil {
		s.Neighbours, s.Barred = c.lan.versions(), c.lan.barred()
	}
	_, s.Digests = c.digests.Stats()
	c.store.Entries(func(i disk.Info) bool {
		if i.Stored >= i.Total {
			s.Complete++
		}
		return true
	})
	return s
}

// busy reports whether something goes on without a client.
func (c *Cache) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.behind) > 0
}
