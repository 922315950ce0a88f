package disk

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"
)

const (
	lockName  = "lock"
	probeName = "probe"
	// reserveMax and reserveParts of the disk are left to others by default.
	reserveMax   = 1 << 30
	reserveParts = 20
)

// mount opens the directory, locks it, tries a write and reads the index. The
// caller runs the volume once the store knows it.
func (s *Store) mount(again bool) (*volume, error) {
	dir, err := s.opts.FS(s.dir)
	if err != nil {
		return nil, err
	}
	lock, err := dir.Lock(lockName)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	v, err := s.load(dir, lock)
	if err == nil && again {
		// A disk that was in trouble has to show more.
		err = v.writer.anew()
	}
	if err != nil {
		lock.Close()
		dir.Close()
		return nil, err
	}
	return v, nil
}

func (s *Store) load(dir FS, lock io.Closer) (*volume, error) {
	if err := probe(dir, int64(s.opts.BlockSize)); err != nil {
		return nil, err
	}
	v := s.newVolume(dir, lock)
	free, size, err := dir.Free()
	if err != nil {
		return nil, fmt.Errorf("read free space: %w", err)
	}
	v.reserve = reserve(s.opts.Reserve, size)
	index, records, err := v.openIndex()
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	v.writer = &writer{
		v: v, index: index, records: records, free: free, out: make([]byte, 0, s.opts.BlockSize+1024),
		flush: make(chan chan struct{}),
	}
	return v, nil
}

func (s *Store) newVolume(dir FS, lock io.Closer) *volume {
	return &volume{
		fs: dir, lock: lock, block: int64(s.opts.BlockSize), size: s.opts.Size, now: s.opts.Now, log: s.log,
		placement: s.opts.Placement, buffers: s.buffers, zip: s.zip, plain: s.plain, count: s.count, trouble: s.turnOff,
		gone: make(chan struct{}), closing: make(chan struct{}), done: make(chan struct{}), queue: newQueue(),
		items: map[ID]*item{}, byKey: map[uint64]*item{}, idle: list.New(), idleAt: map[*Entry]*list.Element{},
		changes: newChanges(), scan: scan{removed: map[ID]struct{}{}, barred: map[Key]struct{}{}},
	}
}

// reserve is what is left free on a disk of so many bytes.
func reserve(want, size int64) int64 {
	switch {
	case want > 0:
		return want
	case want < 0:
		return math.MinInt64 / 2
	}
	return min(reserveMax, size/reserveParts)
}

// probe writes as much as a block needs.
func probe(dir FS, n int64) error {
	f, err := dir.Open(probeName, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("try a write: %w", err)
	}
	err = writeAll(f, make([]byte, n), 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close(), dir.Remove(probeName)); err != nil {
		return fmt.Errorf("try a write: %w", err)
	}
	return nil
}

// stale gives up blocks of which nothing has come since then.
func (v *volume) stale(since time.Time) {
	v.mu.Lock()
	var es []*Entry
	for _, it := range v.items {
		if e := it.open; e != nil {
			es = append(es, e)
		}
	}
	v.mu.Unlock()
	for _, e := range es {
		e.stale(since)
	}
}
