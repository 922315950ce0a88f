package disk

import (
	"container/list"
	"encoding/binary"
	"encoding/hex"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxIdle files stay open though nobody reads them: what was checked in them
	// need not be checked again.
	maxIdle = 256
	// maxEntries bounds the index's memory to about 100 MB.
	maxEntries = 1 << 19
)

// volume is the directory from one mount to the first trouble or Close. A store
// that recovers makes another one, so that nothing that was believed before the
// trouble is believed after it.
type volume struct {
	// write-once
	fs        FS
	lock      io.Closer
	block     int64
	size      int64
	reserve   int64
	now       func() time.Time
	log       *slog.Logger
	placement func(Key) float64
	buffers   *buffers
	zip       *zip
	plain     *plain
	count     *counters
	trouble   func(*volume, error) // called once

	off     atomic.Bool   // nothing is read or written any more
	once    sync.Once     // of off
	gone    chan struct{} // closed with off
	closing chan struct{} // closed by close: finish what is queued
	done    chan struct{} // closed when no goroutine is left
	queue   *queue
	writer  *writer

	readErrors atomic.Int32 // in a row
	workers    sync.WaitGroup

	mu      sync.Mutex // guards what follows; nothing waits for the disk under it
	items   map[ID]*item
	byKey   map[uint64]*item
	bytes   int64
	open    int
	idle    *list.List // of entries nobody uses, the longest unused first
	idleAt  map[*Entry]*list.Element
	files   []File // to be closed after unlocking
	ended   bool   // no more workers
	changes changes
	scan    scan
}

// name is where an entry lies. No other names are opened but the index's and the
// lock's.
func (id ID) name() string {
	s := id.String()
	return s[:2] + "/" + s
}

func parseName(dir, name string) (id ID, ok bool) {
	id, err := ParseID(name)
	return id, err == nil && name[:2] == dir
}

// slot is where byKey chains a key; keys are hashes themselves.
func (k Key) slot() uint64 { return binary.LittleEndian.Uint64(k[:]) }

func (k Key) String() string { return hex.EncodeToString(k[:4]) }

// insertLocked takes it into the index.
func (v *volume) insertLocked(it *item) {
	v.items[it.id] = it
	it.next = v.byKey[it.key.slot()]
	v.byKey[it.key.slot()] = it
	v.bytes += it.stored
}

// removeLocked forgets it; the writer removes the file.
func (v *volume) removeLocked(it *item) {
	if it.has(itemGone) {
		return
	}
	v.forgetLocked(it)
	v.changes.removed(it)
	v.retireLocked(it)
}

// forgetLocked takes it out of the index.
func (v *volume) forgetLocked(it *item) {
	it.set(itemGone, true)
	delete(v.items, it.id)
	v.unchainLocked(it)
	v.bytes -= it.stored
}

func (v *volume) unchainLocked(it *item) {
	slot := it.key.slot()
	if v.byKey[slot] == it {
		if v.byKey[slot] = it.next; it.next == nil {
			delete(v.byKey, slot)
		}
		return
	}
	for p := v.byKey[slot]; p != nil; p = p.next {
		if p.next == it {
			p.next = it.next
			return
		}
	}
}

// remove takes out what f selects, and returns how many.
func (v *volume) remove(its func(v *volume) []*item) int {
	v.mu.Lock()
	all := its(v)
	for _, it := range all {
		v.removeLocked(it)
	}
	v.unlock()
	v.queue.kick()
	return len(all)
}

// keyedLocked are the items of a key.
func (v *volume) keyedLocked(k Key) (its []*item) {
	for it := v.byKey[k.slot()]; it != nil; it = it.next {
		if it.key == k {
			its = append(its, it)
		}
	}
	return its
}

// use notes a hit.
func (v *volume) use(it *item) {
	v.mu.Lock()
	defer v.mu.Unlock()
	it.use(v.now())
	v.changes.touch(it)
}

func (v *volume) setCost(it *item, cost float64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	it.cost = float32(clamp(cost))
	v.changes.touch(it)
}

func (v *volume) info(it *item) Info {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.infoLocked(it)
}

func (v *volume) infoLocked(it *item) Info {
	i := it.info()
	i.InUse = it.open != nil && it.open.refs > 0
	return i
}

// setStoredLocked notes what the file of it takes now.
func (v *volume) setStoredLocked(it *item, stored int64) {
	v.bytes += stored - it.stored
	it.stored = stored
	v.changes.grown(it)
}

// fail turns the volume off, once. Its goroutines end as soon as the disk lets
// them.
func (v *volume) fail(err error) {
	v.once.Do(func() {
		v.off.Store(true)
		close(v.gone)
		v.abandon()
		v.trouble(v, err)
	})
}

// abandon tells all entries that their volume is off.
func (v *volume) abandon() {
	v.mu.Lock()
	defer v.unlock()
	for _, it := range v.items {
		v.retireLocked(it)
	}
}

// run starts what works in the background; done is closed when all have ended.
func (v *volume) run() {
	v.workers.Add(2)
	go func() { defer v.workers.Done(); v.writer.run() }()
	go func() { defer v.workers.Done(); v.runScan() }()
	go v.end()
	v.queue.kick() // the index log may have to be written anew
}

// end waits for the volume's end and closes what it had open.
func (v *volume) end() {
	defer close(v.done)
	select {
	case <-v.gone:
	case <-v.closing:
	}
	v.mu.Lock()
	v.ended = true
	v.mu.Unlock()
	v.workers.Wait()
	v.off.Store(true)
	v.abandon()
	v.writer.close()
	v.lock.Close()
	v.fs.Close()
}

// stopped reports that the volume is closing or off.
func (v *volume) stopped() bool {
	select {
	case <-v.closing:
		return true
	default:
		return v.off.Load()
	}
}
