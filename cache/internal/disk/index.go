package disk

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"time"
)

const (
	indexName = "index"
	indexPart = "index.new"
	// slackRecords may be dead in the index log however few live.
	slackRecords = 1024
)

// changes are what the index log and the directory are behind the index. It is
// guarded by the volume's lock.
type changes struct {
	log     []byte          // records to append
	waiting []chan bool     // told when what is in log by then lasts, or could not be written
	touched []*item         // to be logged some time
	trash   map[ID]struct{} // files to remove; an ID stays until its file is gone
	kept    map[ID]struct{} // those that could not be, as they are open: later
}

func newChanges() changes {
	return changes{trash: map[ID]struct{}{}, kept: map[ID]struct{}{}}
}

// removed notes that the file of it is to go. A removal is in the log before, so
// that a scan after a crash does not adopt the file again: also of what the log does
// not know, as that may have a file already, or had one adopted.
func (c *changes) removed(it *item) {
	c.log = appendRemove(c.log, it.id)
	c.trash[it.id] = struct{}{}
}

// born notes that it has a file.
func (c *changes) born(it *item) {
	it.set(itemLogged, true)
	c.log = appendPut(c.log, it)
}

// touch notes that it has changed; what is not born yet is logged then.
func (c *changes) touch(it *item) {
	if it.has(itemLogged) && !it.has(itemTouched) {
		it.set(itemTouched, true)
		c.touched = append(c.touched, it)
	}
}

// grown is touch for a file that has changed: the log must not claim any more
// that it knows its size.
func (c *changes) grown(it *item) {
	if it.has(itemSettled) {
		it.set(itemSettled, false)
		c.log = appendPut(c.log, it)
	}
	c.touch(it)
}

// settle logs what was touched. busy says whose file is being written.
func (c *changes) settle(busy func(*item) bool) {
	touched := c.touched
	c.touched = nil
	for _, it := range touched {
		it.set(itemTouched, false)
		if it.has(itemGone) {
			continue
		}
		it.set(itemSettled, !busy(it))
		c.log = appendPut(c.log, it)
		if !it.has(itemSettled) {
			c.touch(it)
		}
	}
}

// settle logs uses and sizes; it is called once a minute, and so writes a record
// per entry and minute at most.
func (v *volume) settle() {
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.Copy(v.changes.trash, v.changes.kept)
	clear(v.changes.kept)
	v.changes.settle(func(it *item) bool { return it.open != nil && v.queue.busy(it.open) })
}

// loadIndex reads the log into the index. records is how many there are; ok is
// false if the file is none of ours, or of another version.
func (v *volume) loadIndex(f File) (records int64, ok bool, err error) {
	size, err := f.Size()
	if err != nil {
		return 0, false, err
	}
	in := bufio.NewReaderSize(io.NewSectionReader(f, 0, size), indexLen<<10)
	b := make([]byte, indexLen)
	if _, err := io.ReadFull(in, b); err != nil || !isHead(b) {
		return 0, false, unlessEnd(err)
	}
	now := v.now()
	for records = 1; ; records++ {
		if _, err := io.ReadFull(in, b); err != nil {
			return records, true, unlessEnd(err)
		}
		if o, it, ok := decodeIndex(b); ok {
			v.replay(o, it, now)
		}
	}
}

// replay applies one record.
func (v *volume) replay(o op, it item, now time.Time) {
	old := v.items[it.id]
	if o == opRemove {
		if old != nil {
			v.forgetLocked(old)
		}
		// The file may have been left behind.
		v.scan.removed[it.id] = struct{}{}
		return
	}
	delete(v.scan.removed, it.id)
	it.sane(now)
	it.set(itemLogged|itemUnseen, true)
	if old != nil && old.key == it.key {
		v.bytes += it.stored - old.stored
		it.next = old.next
		*old = it
		return
	}
	if old != nil || len(v.items) >= maxEntries {
		return
	}
	v.insertLocked(&it)
}

// openIndex opens the log and reads it; records is 0 if it is to be written anew.
func (v *volume) openIndex() (f File, records int64, err error) {
	if err := v.fs.Remove(indexPart); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, err
	}
	if f, err = v.fs.Open(indexName, os.O_CREATE); err != nil {
		return nil, 0, err
	}
	records, ok, err := v.loadIndex(f)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	if !ok {
		records = 0
	}
	return f, records, nil
}

// snapshotLocked is a log with what is live, and what remains to be removed.
func (v *volume) snapshotLocked() []byte {
	b := make([]byte, 0, indexLen*(1+len(v.items)+len(v.changes.trash)+len(v.scan.removed)))
	b = appendHead(b)
	for _, it := range v.items {
		if it.has(itemLogged) {
			b = appendPut(b, it)
		}
	}
	for _, ids := range []map[ID]struct{}{v.changes.trash, v.changes.kept, v.scan.removed} {
		for id := range ids {
			b = appendRemove(b, id)
		}
	}
	return b
}
