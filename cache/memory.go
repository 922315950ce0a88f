package cache

import (
	"container/list"
	"slices"
	"sync"

	"dtpx/cache/internal/disk"
	"dtpx/cache/internal/rules"
	ranges "dtpx/range"
)

// smallMax is the largest body that is kept in memory, one block.
const smallMax = disk.BlockSize

// smallObject is a whole small response. It is immutable.
type smallObject struct {
	meta *meta
	body []byte
	said rules.Stored // by meta, read once
}

func newSmall(m *meta, body []byte) *smallObject {
	s := &smallObject{meta: m, body: body, said: m.stored()}
	s.said.Freshness()
	s.said.Total, s.said.Complete = int64(len(body)), true
	s.said.Held = []ranges.Range{{Start: 0, End: s.said.Total}}
	return s
}

// cost is about what it takes in memory.
func (s *smallObject) cost() int64 { return int64(len(s.body)) + 2048 }

// memory keeps small responses, the least recently used go first. On disk each
// would be an open, a read and a hash away.
type memory struct {
	limit int64

	mu  sync.Mutex // guards what follows
	by  map[disk.Key]*list.Element
	lru list.List // of *shelf, the last one goes first
	sum int64
}

// shelf is what is kept for one key.
type shelf struct {
	key  disk.Key
	objs []*smallObject // immutable slice
}

func newMemory(limit int64) *memory {
	return &memory{limit: limit, by: map[disk.Key]*list.Element{}}
}

func (m *memory) get(key disk.Key) []*smallObject {
	m.mu.Lock()
	defer m.mu.Unlock()
	el := m.by[key]
	if el == nil {
		return nil
	}
	m.lru.MoveToFront(el)
	return el.Value.(*shelf).objs
}

// put keeps s, in the place of the one that it is an update of.
func (m *memory) put(key disk.Key, s *smallObject) {
	if s.cost() > m.limit/8 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.putLocked(key, s)
}

// replace keeps s in the place of was, unless that has been taken out meanwhile.
func (m *memory) replace(key disk.Key, was, s *smallObject) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.Contains(m.onLocked(key), was) {
		m.putLocked(key, s)
	}
}

// onLocked is what is on the shelf of a key.
func (m *memory) onLocked(key disk.Key) []*smallObject {
	if el := m.by[key]; el != nil {
		return el.Value.(*shelf).objs
	}
	return nil
}

func (m *memory) putLocked(key disk.Key, s *smallObject) {
	objs := m.onLocked(key)
	next := []*smallObject{s}
	for _, o := range objs {
		if len(next) < variantsMax && !sameSelection(o.meta, s.meta) {
			next = append(next, o)
		}
	}
	m.setLocked(key, next)
	for m.sum > m.limit {
		m.setLocked(m.lru.Back().Value.(*shelf).key, nil)
	}
}

// dropIf takes out what f says of a key, and returns how many.
func (m *memory) dropIf(key disk.Key, f func(*meta) bool) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	el := m.by[key]
	if el == nil {
		return 0
	}
	var next []*smallObject
	for _, o := range el.Value.(*shelf).objs {
		if f(o.meta) {
			n++
		} else {
			next = append(next, o)
		}
	}
	m.setLocked(key, next)
	return n
}

func (m *memory) drop(key disk.Key, what *meta) {
	m.dropIf(key, func(o *meta) bool { return sameSelection(o, what) })
}

// clear takes out all.
func (m *memory) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.by)
	m.lru.Init()
	m.sum = 0
}

func (m *memory) size() (n int, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.by), m.sum
}

func (m *memory) setLocked(key disk.Key, objs []*smallObject) {
	if el := m.by[key]; el != nil {
		for _, o := range el.Value.(*shelf).objs {
			m.sum -= o.cost()
		}
		m.lru.Remove(el)
		delete(m.by, key)
	}
	if len(objs) == 0 {
		return
	}
	for _, o := range objs {
		m.sum += o.cost()
	}
	m.by[key] = m.lru.PushFront(&shelf{key, objs})
}
