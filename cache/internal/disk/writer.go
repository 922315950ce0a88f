package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"time"
)

const (
	// slowAfter is how long one step of the writer may take. Even a disk that has
	// to spin up answers before; one that does not only costs memory.
	slowAfter = 15 * time.Second
	// trashStep files are removed between two entries' turns.
	trashStep = 64
)

// writer is the only one that changes files. All but run is called by it alone.
type writer struct {
	v       *volume
	index   File
	records int64     // in the index log, the head included; 0: write it anew
	free    int64     // on the disk, as far as known
	hold    time.Time // until then freeing is not tried again
	told    time.Time // when it was last said that the disk is nearly full; zero before
	out     []byte    // packed block

	began atomic.Int64 // ns since 1970 of the step at work, 0 if none
	flush chan chan struct{}
}

// run works until the volume is closing, and then does what is left.
func (w *writer) run() {
	defer w.leave()
	for {
		var flushed chan struct{}
		closing := false
		select {
		case <-w.v.gone:
			return
		case <-w.v.closing:
			closing = true
		case flushed = <-w.flush:
		case <-w.v.queue.wake:
		}
		w.work()
		if flushed != nil {
			close(flushed)
		}
		if closing {
			w.finish()
			return
		}
	}
}

// work does all there is to do.
func (w *writer) work() {
	for !w.v.off.Load() {
		w.step(func() {
			w.trim()
			w.writeLog()
			w.tidy(trashStep)
		})
		e := w.v.queue.pop()
		if e != nil {
			w.step(func() { w.turn(e) })
			w.v.queue.finish()
			w.v.rest(e)
			continue
		}
		if !w.behind() {
			return
		}
	}
}

// step times f, for the volume's watch.
func (w *writer) step(f func()) {
	w.began.Store(w.v.now().UnixNano())
	f()
	w.began.Store(0)
}

// slow reports that a step has taken too long by now.
func (w *writer) slow(now time.Time) bool {
	at := w.began.Load()
	return at != 0 && now.Sub(time.Unix(0, at)) > slowAfter
}

// behind reports that files are to be removed, or records to be logged.
func (w *writer) behind() bool {
	v := w.v
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.changes.log)+len(v.changes.trash) > 0
}

// finish writes down what the index still knows better than the log.
func (w *writer) finish() {
	w.v.settle()
	w.writeLog()
	w.sync()
}

// sync makes the index last. A file whose removal does not is no entry then.
func (w *writer) sync() {
	if w.index == nil || w.v.off.Load() {
		return
	}
	if err := w.index.Sync(); err != nil {
		w.v.fail(err)
	}
}

// leave gives up what was not written.
func (w *writer) leave() {
	for _, e := range w.v.queue.close() {
		e.mu.Lock()
		e.abandonLocked()
		e.mu.Unlock()
		w.v.rest(e)
	}
}

func (w *writer) close() {
	if w.index != nil {
		w.index.Close()
		w.index = nil
	}
}

// tidy removes up to n files that the index has given up.
func (w *writer) tidy(n int) {
	v := w.v
	v.mu.Lock()
	var ids []ID
	for id := range v.changes.trash {
		if ids = append(ids, id); len(ids) == n {
			break
		}
	}
	v.mu.Unlock()
	for _, id := range ids {
		w.unlink(id)
	}
}

// unlink removes a file. One that the system keeps while it is open is tried
// again later. Until it is gone it is known as trash, so that the scan does not
// adopt it.
func (w *writer) unlink(id ID) {
	v := w.v
	if v.off.Load() {
		return
	}
	err := v.fs.Remove(id.name())
	done := err == nil || errors.Is(err, fs.ErrNotExist)
	if !done && !isHeld(err) {
		v.fail(err)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.changes.trash, id)
	if !done {
		v.changes.kept[id] = struct{}{}
	}
}

// writeLog appends to the index log, or writes it anew if most of it is dead. Who
// waits for it to last is told.
func (w *writer) writeLog() {
	v := w.v
	v.mu.Lock()
	log, waiting := v.changes.log, v.changes.waiting
	v.changes.log, v.changes.waiting = nil, nil
	added := int64(len(log) / indexLen)
	var all []byte
	if w.records == 0 || w.records+added > 2*int64(len(v.items))+slackRecords {
		all = v.snapshotLocked()
	}
	v.mu.Unlock()
	switch {
	case v.off.Load():
	case all != nil:
		w.logged(w.replaceLog(all), int64(len(all)/indexLen))
	case added > 0:
		at := w.records * indexLen
		w.logged(w.retry(func() error { return writeAll(w.index, log, at) }), w.records+added)
	}
	if len(waiting) > 0 {
		w.sync()
	}
	for _, done := range waiting {
		done <- w.records > 0
	}
}

// logged notes how many records there are now; after an error that was not the
// disk's the log is written anew.
func (w *writer) logged(err error, records int64) {
	if w.records = records; !w.check(err) {
		w.records = 0
	}
}

// anew writes the log anew.
func (w *writer) anew() error {
	w.v.mu.Lock()
	b := w.v.snapshotLocked()
	w.v.mu.Unlock()
	err := w.replaceLog(b)
	if err == nil && w.v.off.Load() {
		err = ErrOff // while making room
	}
	if err != nil {
		w.close()
		return fmt.Errorf("write index: %w", err)
	}
	w.records = int64(len(b) / indexLen)
	return nil
}

// replaceLog leaves the old log or the new one, whenever it is interrupted.
func (w *writer) replaceLog(b []byte) error {
	fs := w.v.fs
	if err := w.retry(func() error { return w.writePart(b) }); err != nil {
		return err
	}
	// Not every system renames to a file that is open.
	w.close()
	if err := fs.Rename(indexPart, indexName); err != nil {
		return err
	}
	if err := fs.SyncDir(); err != nil {
		return err
	}
	f, err := fs.Open(indexName, 0)
	if err != nil {
		return err
	}
	w.index = f
	return nil
}

func (w *writer) writePart(b []byte) error {
	f, err := w.v.fs.Open(indexPart, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	err = writeAll(f, b, 0)
	if err == nil {
		err = f.Sync() // the rename must not last longer than the bytes
	}
	return errors.Join(err, f.Close())
}

func writeAll(f File, b []byte, off int64) error {
	n, err := f.WriteAt(b, off)
	if err == nil && n < len(b) {
		err = errShort
	}
	return err
}

var errShort = errors.New("write was short")

// retry does what may find the disk full once more after having made room.
func (w *writer) retry(do func() error) error {
	err := do()
	if err == nil || !isFull(err) || !w.makeRoom() {
		return err
	}
	return do()
}

// check turns the volume off for an error that is the disk's.
func (w *writer) check(err error) (ok bool) {
	if err != nil && !isOwn(err) {
		w.v.fail(err)
	}
	return err == nil
}
