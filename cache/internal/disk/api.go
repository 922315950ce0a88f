package disk

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Create makes an entry, acquired, of which nothing is held yet. Several may have
// the same key. Nothing is on disk before a block is whole; an entry that is
// released without any is forgotten.
func (s *Store) Create(key Key, meta []byte, total int64) (*Entry, error) {
	if len(meta) > MaxMeta {
		return nil, fmt.Errorf("create entry: meta of %d bytes", len(meta))
	}
	if total < 0 || total > MaxTotal {
		return nil, fmt.Errorf("create entry: total of %d bytes", total)
	}
	v := s.on()
	if v == nil {
		return nil, ErrOff
	}
	return v.create(key, meta, total), nil
}

// Lookup returns the entries of a key, acquired, newest first. Files that are
// slow to open are left out.
func (s *Store) Lookup(key Key) []*Entry {
	v := s.on()
	if v == nil {
		return nil
	}
	return v.lookup(key)
}

// Get returns one entry, acquired.
func (s *Store) Get(id ID) (*Entry, bool) {
	v := s.on()
	if v == nil {
		return nil, false
	}
	es := v.get(func() []*item {
		if it := v.items[id]; it != nil {
			return []*item{it}
		}
		return nil
	})
	if len(es) == 0 {
		return nil, false
	}
	return es[0], true
}

// Entries calls f with what is in the index, in no order, until it returns false.
func (s *Store) Entries(f func(Info) bool) {
	v := s.on()
	if v == nil {
		return
	}
	for _, i := range v.infos() {
		if !f(i) {
			return
		}
	}
}

func (v *volume) infos() []Info {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([]Info, 0, len(v.items))
	for _, it := range v.items {
		all = append(all, v.infoLocked(it))
	}
	return all
}

// Remove takes out one entry; who uses it may go on until Release.
func (s *Store) Remove(id ID) (found bool) {
	return s.remove(func(v *volume) []*item {
		if it := v.items[id]; it != nil {
			return []*item{it}
		}
		return nil
	}) > 0
}

// RemoveKey takes out all entries of a key and returns how many.
func (s *Store) RemoveKey(key Key) int {
	return s.remove(func(v *volume) []*item {
		if !v.scan.over {
			v.scan.barred[key] = struct{}{}
		}
		return v.keyedLocked(key)
	})
}

// Purge takes out all and returns how many.
func (s *Store) Purge() int {
	return s.remove(func(v *volume) []*item {
		if !v.scan.over {
			v.scan.all = true
		}
		return slices.Collect(maps.Values(v.items))
	})
}

func (s *Store) remove(its func(*volume) []*item) int {
	v := s.on()
	if v == nil {
		return 0
	}
	return v.remove(its)
}

// Flush waits until what is queued is written, as far as it can be. It does not
// sync.
func (s *Store) Flush() error {
	v := s.on()
	if v == nil {
		return ErrOff
	}
	done := make(chan struct{})
	select {
	case v.writer.flush <- done:
	case <-v.done:
		return ErrOff
	}
	select {
	case <-done:
	case <-v.done:
	}
	if v.off.Load() {
		return ErrOff
	}
	return nil
}

// Sync waits until what was removed does not return even if the power fails. Files
// may still have to be deleted then; of what is stored nothing needs to last.
func (s *Store) Sync() error {
	v := s.on()
	if v == nil {
		return ErrOff
	}
	written, lasts := make(chan bool, 1), false
	v.mu.Lock()
	v.changes.waiting = append(v.changes.waiting, written)
	v.mu.Unlock()
	v.queue.kick()
	select {
	case lasts = <-written:
	case <-v.done:
		select {
		case lasts = <-written: // at the end
		default:
			return ErrOff
		}
	}
	switch {
	case v.off.Load():
		return ErrOff
	case !lasts:
		return errors.New("removal could not be written down")
	}
	return nil
}

// Stats returns counts.
func (s *Store) Stats() Stats {
	c := s.count
	st := Stats{
		Size: s.opts.Size, Memory: s.buffers.used.Load(), Written: c.written.Load(), Saved: c.saved.Load(),
		Dropped: c.dropped.Load(), Refused: c.refused.Load(), Evicted: c.evicted.Load(), Damaged: c.damaged.Load(),
		Unreadable: c.unreadable.Load(), Adopted: c.adopted.Load(), Foreign: c.foreign.Load(), TimesTurned: c.turned.Load(),
	}
	s.mu.Lock()
	st.Off, st.OffSince = s.reason, s.offSince
	v := s.volume
	s.mu.Unlock()
	if v != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		st.Entries, st.Bytes, st.Open = len(v.items), v.bytes, v.open
	}
	return st
}
