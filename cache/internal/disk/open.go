package disk

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"
)

// lookupMax is how long a caller waits for files to be opened; what takes longer
// is a miss, this time.
const lookupMax = 2 * time.Second

// create makes an entry in memory. Its file comes with the first block.
func (v *volume) create(key Key, meta []byte, total int64) *Entry {
	var id ID
	rand.Read(id[:])
	now := v.now()
	it := &item{id: id, key: key, total: total, created: now.UnixNano(), heat: coldest, cost: 1}
	it.use(now)
	e := newEntry(v, it)
	e.meta, e.metaNew = bytes.Clone(meta), true
	e.journal = chain{sum: e.header.sum()}
	e.fresh = true
	close(e.ready)

	v.mu.Lock()
	defer v.mu.Unlock()
	it.open = e
	v.insertLocked(it)
	v.open++
	e.refs = 1
	if total == 0 { // no block will bring the file
		e.mu.Lock()
		e.submitLocked()
		e.mu.Unlock()
	}
	return e
}

// lookup returns the entries of a key, newest first.
func (v *volume) lookup(k Key) []*Entry {
	return v.get(func() []*item { return v.keyedLocked(k) })
}

// get opens what find returns under the lock.
func (v *volume) get(find func() []*item) (es []*Entry) {
	v.mu.Lock()
	for _, it := range find() {
		if e := v.openLocked(it); e != nil {
			es = append(es, e)
		}
	}
	v.mu.Unlock()
	if len(es) == 0 {
		return nil
	}
	slow := time.NewTimer(lookupMax)
	defer slow.Stop()
	late := false
	es = slices.DeleteFunc(es, func(e *Entry) bool {
		if !late {
			select {
			case <-e.ready:
			case <-v.gone:
			case <-slow.C:
				late = true
			}
		}
		if e.usable() {
			return false
		}
		e.Release()
		return true
	})
	slices.SortFunc(es, func(a, b *Entry) int { return int(min(1, max(-1, b.header.created-a.header.created))) })
	return es
}

// usable reports that the file was read and nothing has happened since.
func (e *Entry) usable() bool {
	select {
	case <-e.ready:
		return e.err == nil && !e.dead.Load()
	default:
		return false
	}
}

// openLocked returns the entry of it, acquired; its file is read in the background
// if it is closed. nil if that cannot be any more.
func (v *volume) openLocked(it *item) *Entry {
	if it.open != nil {
		v.acquireLocked(it.open)
		return it.open
	}
	if v.ended {
		return nil
	}
	e := newEntry(v, it)
	it.open = e
	v.open++
	e.refs = 2 // the caller's and the loader's
	v.workers.Add(1)
	go func() {
		defer v.workers.Done()
		v.load(e)
		v.release(e)
	}()
	return e
}

// load reads the file of e. One that is missing or foreign leaves the index.
func (v *volume) load(e *Entry) {
	err := e.read()
	v.mu.Lock()
	defer v.mu.Unlock()
	defer close(e.ready)
	e.err = err
	switch {
	case err == nil:
		if stored := e.stored(); stored != e.it.stored && !e.it.has(itemGone) {
			v.setStoredLocked(e.it, stored)
		}
		return
	case errors.Is(err, errForeign):
		v.count.foreign.Add(1)
		v.removeLocked(e.it)
	case errors.Is(err, fs.ErrNotExist):
		v.removeLocked(e.it)
	default: // perhaps later
		v.count.unreadable.Add(1)
		v.log.Debug("entry unreadable", "entry", e.header.id, "err", err)
		if e.it.open == e {
			v.retireLocked(e.it)
		}
	}
}

// read takes in header and journal.
func (e *Entry) read() error {
	f, err := e.v.fs.Open(e.header.id.name(), 0)
	if err != nil {
		return err
	}
	if err := e.readFrom(f); err != nil {
		f.Close()
		return err
	}
	return nil
}

func (e *Entry) readFrom(f File) error {
	h, err := readHeader(f, e.v.block)
	if err != nil {
		return err
	}
	if h != e.header {
		return errForeign
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	behind := max(0, size-h.journal())
	var meta []byte
	blocks := newTable(h.blocks())
	e.journal, err = readJournal(io.NewSectionReader(f, h.journal(), behind), h, func(r record, payload []byte) {
		if r.kind == kindMeta {
			meta = payload
		}
		blocks.take(h, r)
	})
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	if meta == nil {
		return errForeign // nobody knows what it is
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.file, e.meta, e.table = f, meta, blocks
	return nil
}

func readHeader(f File, block int64) (header, error) {
	b := make([]byte, headerLen)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			return header{}, errForeign
		}
		return header{}, fmt.Errorf("read header: %w", err)
	}
	return decodeHeader(b, block)
}

// stored is what the file takes.
func (e *Entry) stored() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.file == nil {
		return 0
	}
	return e.header.stored(e.table.bytes, e.journal.end)
}
