package disk

import (
	"slices"
	"sync"
	"sync/atomic"
)

// maxPieces bounds what one block's assembly remembers; a writer that leaves
// more gaps than that in 256 KiB gets a hole.
const maxPieces = 64

// piece is a part of a block, end exclusive.
type piece struct{ start, end int }

// assembly is a block that is coming in.
type assembly struct {
	buf    *buffer
	pieces []piece // sorted, apart from each other
	last   int64   // ns since 1970, of the newest piece
}

// add notes that p has come; ok is false when there are too many gaps.
func (a *assembly) add(p piece) (ok bool) {
	first, _ := slices.BinarySearchFunc(a.pieces, p, func(q, p piece) int { return q.end - p.start })
	last := first
	for ; last < len(a.pieces) && a.pieces[last].start <= p.end; last++ {
		p.start, p.end = min(p.start, a.pieces[last].start), max(p.end, a.pieces[last].end)
	}
	a.pieces = slices.Replace(a.pieces, first, last, p)
	return len(a.pieces) <= maxPieces
}

// whole reports that nothing is missing.
func (a *assembly) whole() bool {
	return len(a.pieces) == 1 && a.pieces[0] == piece{0, len(a.buf.b)}
}

type buffer struct {
	b    []byte
	late bool // among the arrears
}

// buffers lends memory for blocks, and recycles it. What get lends is charged to
// the limit; scratch is for the time of one call.
type buffers struct {
	block int
	limit int64
	used  atomic.Int64
	late  arrears
	pool  sync.Pool
}

func newBuffers(block int, limit int64) *buffers {
	// One block must always fit, or nothing were ever stored.
	return &buffers{block: block, limit: max(limit, int64(block))}
}

// get lends n bytes, nil if the limit is reached.
func (p *buffers) get(n int) *buffer {
	if p.used.Add(int64(n)) > p.limit {
		p.used.Add(int64(-n))
		return nil
	}
	if n < p.block {
		return &buffer{b: make([]byte, n)} // small ones are of any size: not worth keeping
	}
	return p.scratch()
}

func (p *buffers) put(b *buffer) {
	p.late.done(b)
	p.used.Add(int64(-len(b.b)))
	if len(b.b) == p.block {
		p.pool.Put(b)
	}
}

// scratch lends a whole block's bytes, uncharged.
func (p *buffers) scratch() *buffer {
	if b, _ := p.pool.Get().(*buffer); b != nil {
		return b
	}
	return &buffer{b: make([]byte, p.block)}
}

func (p *buffers) done(b *buffer) { p.pool.Put(b) }

// crowded says that more than half is in use.
func (p *buffers) crowded() bool { return p.used.Load() > p.limit/2 }
