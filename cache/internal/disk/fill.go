package disk

import "time"

// Fill brings bytes into an entry. Several may at once, each from several
// goroutines.
type Fill struct{ e *Entry }

// Fill begins one; it holds the entry until Close.
func (e *Entry) Fill() *Fill {
	e.Acquire()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fills == 0 {
		e.coming, e.skipped = map[uint32]*assembly{}, map[uint32]struct{}{}
		if e.pending == nil {
			e.pending = map[uint32]*buffer{}
		}
	}
	e.fills++
	return &Fill{e}
}

// Close ends it, without waiting for the disk. With the last one, blocks that
// are not whole are given up.
func (f *Fill) Close() {
	f.e.mu.Lock()
	f.e.fills--
	if f.e.fills == 0 {
		if len(f.e.pending) > 0 {
			f.e.submitLocked()
		}
		f.e.discardLocked()
		f.e.coming, f.e.skipped = nil, nil // a map never shrinks
		f.e.tidyLocked()
	}
	f.e.mu.Unlock()
	f.e.Release()
}

// tidyLocked gives up the map of pending blocks where none can come.
func (e *Entry) tidyLocked() {
	if e.fills == 0 && len(e.pending) == 0 {
		e.pending = nil
	}
}

// WriteAt takes bytes of the resource: in any order and size, also again. It
// copies, never waits for the disk and never fails: what cannot be taken is a
// hole that is fetched again some day. Bytes outside the resource are ignored.
func (f *Fill) WriteAt(p []byte, off int64) (int, error) {
	e, all := f.e, len(p)
	if off < 0 || off >= e.header.total {
		return all, nil
	}
	now := e.v.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(p) > 0 && off < e.header.total {
		i, at := uint32(off/e.header.block), int(off%e.header.block)
		n := min(len(p), int(e.header.length(i))-at)
		e.writeLocked(i, at, p[:n], now)
		p, off = p[n:], off+int64(n)
	}
	return all, nil
}

func (e *Entry) writeLocked(i uint32, at int, p []byte, now time.Time) {
	if e.dead.Load() || e.fills == 0 || e.hasLocked(i) {
		return
	}
	a := e.coming[i]
	if a == nil {
		if a = e.beginLocked(i, at); a == nil {
			return
		}
	}
	copy(a.buf.b[at:], p)
	a.last = now.UnixNano()
	if !a.add(piece{at, at + len(p)}) {
		e.skipLocked(i)
		return
	}
	if a.whole() {
		delete(e.coming, i)
		e.pending[i] = a.buf
		e.v.buffers.late.add(a.buf)
		e.changedLocked()
		e.soonLocked()
	}
}

// soonLocked queues e for the writer when it has blocks enough, or soon.
func (e *Entry) soonLocked() {
	switch {
	case e.v.buffers.crowded():
		e.submitLocked()
	case e.dead.Load() || !e.v.queue.pushBlocks(e, len(e.pending)):
		e.abandonLocked()
	}
}

// beginLocked starts the assembly of block i, nil if it is not worth it: of a
// block that misses a part the rest would only take memory.
func (e *Entry) beginLocked(i uint32, at int) *assembly {
	if _, skip := e.skipped[i]; skip && at > 0 {
		return nil
	}
	b := e.v.buffers.get(int(e.header.length(i)))
	if b == nil {
		e.skipLocked(i)
		return nil
	}
	delete(e.skipped, i)
	a := &assembly{buf: b}
	e.coming[i] = a
	return a
}

// maxSkipped bounds what is remembered of blocks not taken. Beyond, their later
// parts may take memory until the fill ends.
const maxSkipped = 4096

func (e *Entry) skipLocked(i uint32) {
	if a := e.coming[i]; a != nil {
		delete(e.coming, i)
		e.v.buffers.put(a.buf)
	}
	if _, again := e.skipped[i]; !again {
		e.v.count.dropped.Add(1)
	}
	if len(e.skipped) >= maxSkipped {
		clear(e.skipped)
	}
	e.skipped[i] = struct{}{}
}

// stale gives up blocks of which nothing has come since then: parts whose rest
// went another way must not keep memory from those that are coming.
func (e *Entry) stale(since time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, a := range e.coming {
		if a.last < since.UnixNano() {
			e.skipLocked(i)
		}
	}
}
