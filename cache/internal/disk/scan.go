package disk

import (
	"errors"
	"fmt"
	"io/fs"
)

// scan is what the repair of the index has to know. It is guarded by the volume's
// lock, and of no use once over.
type scan struct {
	over    bool
	removed map[ID]struct{}  // the log says that they were: not to be adopted
	barred  map[Key]struct{} // removed since the scan began
	all     bool             // all were
}

// runScan compares the directory with the index: files that it does not know are
// adopted or deleted, entries without a file leave it, and of those that were
// being written at a crash the size is read.
func (v *volume) runScan() {
	complete := true
	for n := range 256 {
		if v.stopped() {
			return
		}
		complete = v.scanDir(fmt.Sprintf("%02x", n)) && complete
		v.queue.kick()
	}
	for _, it := range v.endScan(complete) {
		if v.stopped() {
			return
		}
		v.resize(it)
	}
}

// scanDir reports whether all of the directory was seen.
func (v *volume) scanDir(dir string) bool {
	names, err := v.fs.Names(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		v.log.Debug("cache directory unreadable", "dir", dir, "err", err)
		return false
	}
	for _, name := range names {
		if v.stopped() {
			return false
		}
		// Other names are not ours, whoever put them there.
		if id, ours := parseName(dir, name); ours {
			v.meet(id)
		}
	}
	return true
}

// meet deals with a file that exists.
func (v *volume) meet(id ID) {
	if v.knows(id) {
		return
	}
	e, err := v.stranger(id)
	switch {
	case err == nil:
		v.adopt(e)
	case errors.Is(err, errForeign):
		v.count.foreign.Add(1)
		v.throwAway(id)
	case !errors.Is(err, fs.ErrNotExist):
		v.log.Debug("file unreadable", "id", id, "err", err)
	}
}

// knows reports that the index has id, or that it is on its way out.
func (v *volume) knows(id ID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if it := v.items[id]; it != nil {
		it.set(itemUnseen, false)
		return true
	}
	if _, gone := v.scan.removed[id]; gone {
		v.changes.trash[id] = struct{}{}
		return true
	}
	_, trash := v.changes.trash[id]
	_, kept := v.changes.kept[id]
	return trash || kept
}

// stranger reads a file that the index does not know.
func (v *volume) stranger(id ID) (*Entry, error) {
	f, err := v.fs.Open(id.name(), 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := readHeader(f, v.block)
	if err != nil {
		return nil, err
	}
	if h.id != id {
		return nil, errForeign
	}
	it := &item{id: id, key: h.key, total: h.total, created: h.created, cost: 1, heat: coldest}
	it.use(h.createdAt())
	it.sane(v.now())
	e := newEntry(v, it)
	if err := e.readFrom(f); err != nil {
		return nil, err
	}
	it.stored = e.header.stored(e.table.bytes, e.journal.end)
	return e, nil
}

func (v *volume) adopt(e *Entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, barred := v.scan.barred[e.it.key]; barred || v.scan.all || len(v.items) >= maxEntries {
		v.changes.trash[e.it.id] = struct{}{}
		return
	}
	e.it.set(itemSettled, true)
	v.insertLocked(e.it)
	v.changes.born(e.it)
	v.count.adopted.Add(1)
}

func (v *volume) throwAway(id ID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.changes.trash[id] = struct{}{}
}

// endScan drops what has no file, if all was seen, and returns what may have
// another size than the index says.
func (v *volume) endScan(complete bool) (unsettled []*item) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, it := range v.items {
		switch {
		case !it.has(itemUnseen):
			if it.open == nil && !it.has(itemSettled) {
				unsettled = append(unsettled, it)
			}
		case complete && it.open == nil:
			v.removeLocked(it)
		}
	}
	v.scan = scan{over: true}
	return unsettled
}

// resize reads the file of it; opening corrects the index.
func (v *volume) resize(it *item) {
	es := v.get(func() []*item {
		if it.has(itemGone) {
			return nil
		}
		return []*item{it}
	})
	for _, e := range es {
		v.mu.Lock()
		v.changes.touch(it)
		v.mu.Unlock()
		e.Release()
	}
}
