package ranges

import (
	"errors"
	"sync"
)

// blockSize is the unit in which a window is allocated and freed. It bounds
// what a download holds beyond its window to two blocks.
const blockSize = 256 << 10

// blocks are recycled over all downloads: a window's worth of garbage per
// second would otherwise be collected and doubled by the heap's growth.
var blockPool = sync.Pool{New: func() any { b := make([]byte, blockSize); return &b }}

// memStore is the Store that keeps a window in memory.
type memStore struct {
	size   int64 // of a block
	blocks map[int64]*[]byte
}

func newMemStore(block int64) *memStore {
	return &memStore{size: block, blocks: map[int64]*[]byte{}}
}

func (m *memStore) newBlock() *[]byte {
	if m.size != blockSize {
		b := make([]byte, m.size)
		return &b
	}
	return blockPool.Get().(*[]byte)
}

func (m *memStore) free(i int64) {
	if b := m.blocks[i]; b != nil {
		delete(m.blocks, i)
		if m.size == blockSize {
			blockPool.Put(b)
		}
	}
}

func (m *memStore) WriteAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		i, at := (off+int64(n))/m.size, (off+int64(n))%m.size
		b := m.blocks[i]
		if b == nil {
			b = m.newBlock()
			m.blocks[i] = b
		}
		n += copy((*b)[at:], p[n:])
	}
	return n, nil
}

func (m *memStore) Peek(off int64, max int) ([]byte, error) {
	b := m.blocks[off/m.size]
	if b == nil {
		return nil, errors.New("read stored bytes: block is gone")
	}
	at := off % m.size
	return (*b)[at:min(m.size, at+int64(max))], nil
}

func (m *memStore) Drop(r Range) {
	for i := r.Start / m.size; i*m.size < r.End; i++ {
		m.free(i)
	}
}

func (m *memStore) Close() {
	for i := range m.blocks {
		m.free(i)
	}
}

// Memory shares a budget of bytes among downloads. What a download holds or may
// come to hold is charged to it, so that one that comes later gets what is
// left and not what the others have filled already: all together hold at most
// the budget and a quarter, of which minWindow goes to each that finds it used
// up. The zero value is unlimited. It is safe for concurrent use.
type Memory struct {
	limit int64
	mu    sync.Mutex
	users map[*Download]int64 // bytes charged
	sum   int64
}

// minWindow is the least read-ahead with which splitting still pays.
const minWindow = 4 * blockSize

// NewMemory returns a budget of limit bytes for all windows together.
func NewMemory(limit int64) *Memory {
	return &Memory{limit: limit}
}

// enter admits d; ok is false when there is no room for another.
func (m *Memory) enter(d *Download) (ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limit > 0 && (m.limit/int64(len(m.users)+1) < minWindow || m.sum+minWindow > m.limit+m.limit/4) {
		return false
	}
	if m.users == nil {
		m.users = map[*Download]int64{}
	}
	m.users[d] = 0
	return true
}

func (m *Memory) leave(d *Download) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sum -= m.users[d]
	delete(m.users, d)
}

// grant is the window that d, which holds held bytes and could use want, may
// have now.
func (m *Memory) grant(d *Download, held, want int64) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	was, in := m.users[d]
	if m.limit <= 0 || !in {
		return want
	}
	share := min(want, m.limit/int64(len(m.users)), m.limit-(m.sum-was))
	share = max(share, min(want, minWindow))
	m.users[d] = max(share, held)
	m.sum += m.users[d] - was
	return share
}
