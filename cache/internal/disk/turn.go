package disk

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// turnBlocks are written of one entry before it is another's turn, and then named
// in one write to the journal.
const turnBlocks = 16

// turn is what the writer does for one entry.
type turn struct {
	w       *writer
	e       *Entry
	h       header
	file    File
	born    bool // the file was made in this turn
	blocks  []uint32
	data    []*buffer
	meta    []byte // nil: no need to write it
	lost    []uint32
	renewed []bool

	held    int64    // allocated for blocks, with those written now
	records []record // of blocks written now
}

// turn writes what e has for the disk, or a part.
func (w *writer) turn(e *Entry) {
	if e.dead.Load() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.abandonLocked()
		return
	}
	w.look()
	t := w.take(e)
	if t.open() {
		t.write()
		t.note()
	}
	t.commit()
}

// take copies under the lock what there is to do.
func (w *writer) take(e *Entry) *turn {
	t := &turn{w: w, e: e, h: e.header}
	e.mu.Lock()
	defer e.mu.Unlock()
	t.file, t.held = e.file, e.table.bytes
	for i := range e.pending {
		t.blocks = append(t.blocks, i)
	}
	slices.Sort(t.blocks)
	t.blocks = t.blocks[:min(turnBlocks, len(t.blocks))]
	for _, i := range t.blocks {
		t.data = append(t.data, e.pending[i])
		t.renewed = append(t.renewed, e.table.get(i).has(renewed))
	}
	if e.metaNew {
		t.meta = e.meta
		if t.meta == nil {
			t.meta = []byte{}
		}
		e.metaNew = false
	}
	t.lost, e.lost = e.lost, nil
	e.atWork = true
	return t
}

// open makes the file if there is none. It reports whether there is one.
func (t *turn) open() bool {
	if t.file != nil {
		return true
	}
	if !t.room(t.h.stored(0, t.journalWith(0))) {
		return false
	}
	err := t.w.retry(t.create)
	if !t.w.check(err) {
		t.file = nil
	}
	return t.file != nil
}

func (t *turn) create() error {
	name := t.h.id.name()
	dir := t.w.v.fs
	f, err := dir.Open(name, os.O_CREATE|os.O_EXCL)
	if errors.Is(err, fs.ErrNotExist) {
		if err := dir.Mkdir(name[:2]); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		f, err = dir.Open(name, os.O_CREATE|os.O_EXCL)
	}
	if err != nil {
		return err
	}
	if err := writeAll(f, t.h.encode(), 0); err != nil {
		f.Close()
		return errors.Join(err, dir.Remove(name))
	}
	t.file, t.born = f, true
	return nil
}

// journalWith is the journal's length with n more blocks.
func (t *turn) journalWith(n int) int64 {
	size := t.e.journal.end + int64((n+len(t.records)+len(t.lost))*recordLen)
	if t.meta != nil {
		size += int64(recordLen + len(t.meta))
	}
	return size
}

// room makes room for what e then takes.
func (t *turn) room(stored int64) bool { return t.w.room(t.e, stored) }

func (t *turn) write() {
	for n, i := range t.blocks {
		r, b := t.pack(i, t.data[n].b, t.renewed[n])
		held := t.held + t.h.allocated(int64(len(b)))
		if t.e.dead.Load() || !t.room(t.h.stored(held, t.journalWith(1))) {
			continue
		}
		err := t.w.retry(func() error { return writeAll(t.file, b, t.h.at(i)) })
		if !t.w.check(err) {
			continue
		}
		t.held = held
		t.w.free -= int64(len(b))
		t.records = append(t.records, r)
		t.w.v.count.saved.Add(int64(len(t.data[n].b) - len(b)))
	}
}

// pack chooses the form in which block i is stored. A block that comes again to
// where one was dropped is raw: the kernel may still be sending from there.
func (t *turn) pack(i uint32, b []byte, renewed bool) (record, []byte) {
	r := record{kind: kindBlock, block: i}
	if !renewed {
		if p := t.w.v.zip.pack(t.h, &t.e.streak, b, t.w.out); p != nil {
			b, r.flags = p, flagZstd
		}
	}
	r.length, r.hash = uint32(len(b)), xxhash.Sum64(b)
	return r, b
}

// note appends to the journal what has changed.
func (t *turn) note() {
	if t.w.v.off.Load() || t.meta == nil && len(t.lost)+len(t.records) == 0 {
		return
	}
	if t.meta != nil && !t.born && !t.room(t.h.stored(t.held, t.journalWith(0))) {
		t.w.v.count.refused.Add(1)
		t.meta = nil // it is what it was after the next start
	}
	err := t.w.retry(t.append)
	if !t.w.check(err) {
		t.records = nil
	}
}

// append writes the records. The first time it cuts off what a crash has left
// behind the last valid one; see journal.go why that alone is not enough.
func (t *turn) append() error {
	c := t.e.journal
	if t.overgrown() {
		return t.rewrite()
	}
	if !t.e.fresh || t.born {
		c.salt = rand.Uint32()
	}
	if !t.e.fresh {
		if err := t.file.Truncate(t.h.journal() + c.end); err != nil {
			return err
		}
		t.e.fresh = true
	}
	at := t.h.journal() + c.end
	var b []byte
	if t.meta != nil {
		b = c.append(b, metaRecord(t.meta), t.meta)
	}
	for _, i := range t.lost {
		b = c.append(b, record{kind: kindDrop, block: i}, nil)
	}
	for _, r := range t.records {
		b = c.append(b, r, nil)
	}
	if err := writeAll(t.file, b, at); err != nil {
		t.e.fresh = false // half of it may stand there
		return err
	}
	t.e.journal = c
	return nil
}

// overgrown reports that most of the journal is dead, and that it is large for a
// block, 64 KiB: an entry whose meta is replaced again and again.
func (t *turn) overgrown() bool {
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	live := t.e.table.held*recordLen + int64(recordLen+len(t.e.meta))
	return t.e.journal.end > 2*live+t.h.block/4
}

// rewrite writes the journal from its start. If it is interrupted, what is read
// is a beginning of the new one or of the old one, each of which is true: the
// chain fits from no old record to a new one, or back.
func (t *turn) rewrite() error {
	e := t.e
	c := chain{sum: t.h.sum(), salt: rand.Uint32()}
	e.mu.Lock()
	blocks, meta := e.table.records(), e.meta
	e.mu.Unlock()
	b := c.append(nil, metaRecord(meta), meta)
	for _, r := range append(blocks, t.records...) {
		b = c.append(b, r, nil)
	}
	if err := writeAll(t.file, b, t.h.journal()); err != nil {
		return err
	}
	if err := t.file.Truncate(t.h.journal() + c.end); err != nil {
		return err
	}
	e.fresh, e.journal = true, c
	return nil
}

// commit moves what was written from memory to the table, and gives up what was
// not.
func (t *turn) commit() {
	e, v := t.e, t.w.v
	e.mu.Lock()
	e.atWork = false
	if e.file == nil {
		e.file = t.file
	}
	for _, r := range t.records {
		e.table.hold(t.h, r)
	}
	for n, i := range t.blocks {
		delete(e.pending, i)
		v.buffers.put(t.data[n])
	}
	e.tidyLocked()
	lacking := int64(len(t.blocks) - len(t.records))
	if lacking > 0 {
		e.changedLocked() // what was there in memory is not any more
	}
	stored := t.againLocked()
	e.mu.Unlock()
	v.count.written.Add(int64(len(t.records)))
	if !e.dead.Load() {
		v.count.refused.Add(lacking)
	}
	v.settleTurn(e.it, stored, t.born)
}

// againLocked queues e for what is left, and returns what its file takes.
func (t *turn) againLocked() (stored int64) {
	e := t.e
	if e.file == nil {
		e.metaNew = true // goes with the first block that finds room
	} else {
		stored = t.h.stored(e.table.bytes, e.journal.end)
	}
	if len(e.pending) > 0 || e.file != nil && (e.metaNew || len(e.lost) > 0) {
		e.submitLocked() // which gives up what is left if e is dead
	}
	return stored
}

// settleTurn tells the index what the file takes now.
func (v *volume) settleTurn(it *item, stored int64, born bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if it.has(itemGone) {
		return
	}
	if it.stored != stored {
		v.setStoredLocked(it, stored)
	}
	if born {
		v.changes.born(it)
	}
}
