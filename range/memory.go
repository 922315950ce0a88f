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
