package disk

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Entry is a resource of which some blocks are held. Who got it from Create,
// Lookup, Get or Acquire calls Release once; until then it can be read, evicted
// or not. It is safe for concurrent use, and of its methods only ReadAt, those of
// Handle, and Release, which may close the file, wait for the disk.
type Entry struct {
	// write-once
	v      *volume
	it     *item
	header header
	ready  chan struct{} // closed when the file was read, or there is none yet
	err    error         // why it could not be, once ready

	dead atomic.Bool // removed, or its volume is off: takes nothing more

	// under v.mu
	refs int
	shut bool // closed for good

	queued bool // under v.queue.mu

	mu       sync.Mutex // guards what follows; nothing waits for the disk under it
	file     File       // nil until the first write
	meta     []byte     // replaced, never changed
	metaNew  bool       // not yet in the journal
	table    table
	coming   map[uint32]*assembly // nil without fills, as skipped
	skipped  map[uint32]struct{}  // blocks of which a part was not taken
	pending  map[uint32]*buffer   // whole, and not yet in the table; nil if none is, without fills
	lost     []uint32             // dropped, and not yet in the journal
	atWork   bool                 // the writer is reading pending blocks
	fills    int
	growth   uint64
	grown    chan struct{} // nil if nobody waits
	followed time.Time     // when somebody has last asked for that; see Pace

	// the writer's own
	journal chain
	fresh   bool // the journal goes on from a clean end
	streak  streak
}

func newEntry(v *volume, it *item) *Entry {
	h := header{id: it.id, key: it.key, total: it.total, created: it.created, block: v.block}
	return &Entry{v: v, it: it, header: h, ready: make(chan struct{}), table: newTable(h.blocks())}
}

// ID names the entry.
func (e *Entry) ID() ID { return e.header.id }

// Key is what it was created with.
func (e *Entry) Key() Key { return e.header.key }

// Total is the size of the whole resource.
func (e *Entry) Total() int64 { return e.header.total }

// Created is when.
func (e *Entry) Created() time.Time { return e.header.createdAt() }

// Removed reports that the entry was removed or evicted, or that the store is
// off: what is held can perhaps be read, nothing more is taken.
func (e *Entry) Removed() bool { return e.dead.Load() }

// Meta is the caller's record; it must not be changed.
func (e *Entry) Meta() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.meta
}

// SetMeta replaces the record. After a crash it is the new one or the old.
func (e *Entry) SetMeta(meta []byte) error {
	if len(meta) > MaxMeta {
		return errTooLarge
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if bytes.Equal(e.meta, meta) {
		return nil
	}
	e.meta = bytes.Clone(meta)
	e.metaNew = true
	if e.file != nil || len(e.pending) > 0 { // else it goes with the first block
		e.submitLocked()
	}
	return nil
}

var errTooLarge = errors.New("set meta: too large")

// Has reports whether the byte at off is held.
func (e *Entry) Has(off int64) bool {
	if off < 0 || off >= e.header.total {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.hasLocked(uint32(off / e.header.block))
}

func (e *Entry) hasLocked(i uint32) bool {
	return !e.v.off.Load() && (e.pending[i] != nil || e.table.get(i).has(held))
}

// Held is what is held, in order, adjacent ranges joined.
func (e *Entry) Held() []Run {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.v.off.Load() {
		return nil
	}
	blocks := slices.Collect(maps.Keys(e.pending))
	e.table.each(func(i uint32, _ cell) { blocks = append(blocks, i) })
	slices.Sort(blocks)
	return runs(e.header, slices.Compact(blocks))
}

// Missing is what is not held of the bytes from off to end, in order, adjacent
// blocks joined. It takes time for these bytes only, not for the whole entry.
func (e *Entry) Missing(off, end int64) (lacks []Run) {
	off, end = max(off, 0), min(end, e.header.total)
	e.mu.Lock()
	defer e.mu.Unlock()
	for off < end {
		i := uint32(off / e.header.block)
		next := min(end, (int64(i)+1)*e.header.block)
		switch n := len(lacks); {
		case e.hasLocked(i):
		case n > 0 && lacks[n-1].End == off:
			lacks[n-1].End = next
		default:
			lacks = append(lacks, Run{Start: off, End: next})
		}
		off = next
	}
	return lacks
}

// Complete reports that all is held.
func (e *Entry) Complete() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.v.off.Load() && e.table.held+int64(len(e.pending)) == e.header.blocks()
}

// Growth counts the changes of what is held, and returns a channel that is closed
// at the next one; it stays closed once e is Removed.
func (e *Entry) Growth() (n uint64, next <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.followed = e.v.now()
	if e.grown == nil {
		e.grown = make(chan struct{})
		if e.dead.Load() {
			close(e.grown)
		}
	}
	return e.growth, e.grown
}

func (e *Entry) changedLocked() {
	e.growth++
	if e.grown != nil && !e.dead.Load() {
		close(e.grown)
		e.grown = nil
	}
}

// Use notes a hit.
func (e *Entry) Use() { e.v.use(e.it) }

// SetCost says how much dearer than others it is to fetch a byte of this
// resource again; 1 is usual.
func (e *Entry) SetCost(cost float64) { e.v.setCost(e.it, cost) }

// Info is what the index knows.
func (e *Entry) Info() Info { return e.v.info(e.it) }

// Acquire returns e for another Release.
func (e *Entry) Acquire() *Entry {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	e.v.acquireLocked(e)
	return e
}

// Release ends the use of e.
func (e *Entry) Release() { e.v.release(e) }

// submitLocked queues e for the writer.
func (e *Entry) submitLocked() {
	if e.dead.Load() || !e.v.queue.push(e) {
		e.abandonLocked()
	}
}

// abandonLocked gives up all that was to be written. While the writer has the
// buffers in hand they stay: it calls again.
func (e *Entry) abandonLocked() {
	if e.atWork {
		return
	}
	for i, b := range e.pending {
		delete(e.pending, i)
		e.v.buffers.put(b)
	}
	e.discardLocked()
	e.metaNew, e.lost = false, nil
}

// discardLocked gives up the blocks that are coming in.
func (e *Entry) discardLocked() {
	for i, a := range e.coming {
		delete(e.coming, i)
		e.v.buffers.put(a.buf)
	}
}

// die makes e take nothing more, and tells who waits for growth. It is called
// once. What is pending is given up by the writer.
func (e *Entry) die() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.discardLocked()
	e.changedLocked()
	e.dead.Store(true)
}

// drop forgets block i if it is still the one that c describes.
func (e *Entry) drop(i uint32, c cell) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.table.get(i).same(c) {
		return
	}
	e.table.drop(e.header, i)
	e.changedLocked()
	e.lost = append(e.lost, i)
	e.submitLocked()
}
