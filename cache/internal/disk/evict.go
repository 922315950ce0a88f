package disk

import "time"

const (
	// slackParts: beyond what is needed now, one part of so many of the budget is
	// freed, as choosing looks at all entries.
	slackParts = 128
	// holdFree is how long freeing is not repeated after it has not shown on the
	// disk: some file systems free later, and all would be evicted meanwhile.
	holdFree = 5 * time.Second
	// tellAgain is how long it is not said again that the disk is nearly full.
	tellAgain = time.Hour
)

// look asks how much is free.
func (w *writer) look() {
	free, _, err := w.v.fs.Free()
	if w.check(err) {
		w.free = free
	}
}

// trim evicts what is above the budget, as adopted files may be.
func (w *writer) trim() {
	v := w.v
	v.mu.Lock()
	over, many := v.bytes-v.size, int64(len(v.items)-maxEntries)
	v.mu.Unlock()
	if over > 0 || many > 0 {
		w.evict(over, max(0, many), nil)
	}
}

// room makes room so that e may take stored bytes; false if it cannot be had.
func (w *writer) room(e *Entry, stored int64) bool {
	v := w.v
	v.mu.Lock()
	grow := stored - e.it.stored
	over, many := v.bytes+grow-v.size, int64(len(v.items)-maxEntries)
	v.mu.Unlock()
	if grow <= 0 {
		return true
	}
	if (over > 0 || many > 0) && !w.evict(over, max(0, many), e.it) {
		return false
	}
	lack := v.reserve + grow - w.free
	return lack <= 0 || w.freeUp(lack)
}

// freeUp evicts so that the disk has need bytes more.
func (w *writer) freeUp(need int64) bool {
	now := w.v.now()
	if now.Before(w.hold) {
		return false
	}
	if !w.evict(need, 0, nil) {
		w.tellFull(now)
		return false
	}
	before := w.free
	w.look()
	if w.free-before < need/2 {
		w.hold = now.Add(holdFree)
	}
	return w.free-before >= need
}

// tellFull says that others have what is left of the disk, once in a while.
func (w *writer) tellFull(now time.Time) {
	if w.told.IsZero() || now.Sub(w.told) > tellAgain {
		w.told = now
		w.v.log.Warn("the disk is nearly full: what comes is not kept", "free", w.free, "stays free", w.v.reserve)
	}
}

// makeRoom is for a disk that said it was full.
func (w *writer) makeRoom() bool {
	return w.evict(w.v.size/slackParts+turnBlocks*w.v.block, 0, nil) || w.evict(1, 0, nil)
}

// evict removes the entries that are worth least, of at least need bytes and
// count in number; if that cannot be, none. Those in use only go if nothing
// else is left, for one that is worth more, and never without it: their readers
// would lose them, and the disk would be none the emptier.
func (w *writer) evict(need, count int64, by *item) bool {
	v := w.v
	v.mu.Lock()
	its, ok := v.cheapestLocked(need, count, by)
	for _, it := range its {
		v.removeLocked(it)
	}
	v.unlock()
	for _, it := range its { // now, as it is their room that is wanted
		w.unlink(it.id)
	}
	v.count.evicted.Add(int64(len(its)))
	return ok
}

func (v *volume) cheapestLocked(need, count int64, by *item) (its []*item, ok bool) {
	resting := bargain{need: need + v.size/slackParts, count: count}
	for _, it := range v.items {
		if it.stored > 0 && !v.usedLocked(it) {
			resting.offer(v.priceLocked(it))
		}
	}
	if resting.bytes >= need && int64(len(resting.top)) >= count {
		return resting.items(), true
	}
	if by == nil {
		return nil, false
	}
	used := bargain{need: need - resting.bytes, count: count - int64(len(resting.top))}
	whole := *by // what it will be: everything is small, and so precious, in the beginning
	whole.stored = max(by.stored, headerSize+by.total)
	mine := v.priceLocked(&whole)
	for _, it := range v.items {
		if it.stored > 0 && it != by && v.usedLocked(it) {
			if p := v.priceLocked(it); p.value < mine.value {
				used.offer(p)
			}
		}
	}
	if !used.enough(0, 0) {
		return nil, false
	}
	return append(resting.items(), used.items()...), true
}

// usedLocked reports that somebody reads or fills it, or the writer is at it.
func (v *volume) usedLocked(it *item) bool {
	return it.open != nil && (it.open.refs > 0 || v.queue.busy(it.open))
}

func (v *volume) priceLocked(it *item) priced {
	placement := 1.0
	if v.placement != nil {
		placement = v.placement(it.key)
	}
	return priced{it, it.value(placement)}
}
