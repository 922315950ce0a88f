package disk

import (
	"maps"
	"slices"
)

// cell is what an open entry knows of one block.
type cell struct {
	hash   uint64
	length uint32 // stored bytes
	state  uint8
}

const (
	held     uint8 = 1 << iota // a record says so
	packed                     // the stored bytes are a zstd frame
	verified                   // the bytes were hashed since the file was opened
	renewed                    // dropped once: only raw bytes may come to its place
)

func (c cell) has(s uint8) bool { return c.state&s != 0 }

// same reports that both are of one record: nothing was dropped in between.
func (c cell) same(o cell) bool {
	return c.has(held) && o.has(held) && c.hash == o.hash && c.length == o.length
}

const chunkCells = 256

// table holds the cells of an entry in chunks, so that the block at the end of
// a huge resource costs no more than the one at its start.
type table struct {
	blocks int64 // of the resource
	chunks map[uint32][]cell
	held   int64 // blocks
	bytes  int64 // allocated for them
}

func newTable(blocks int64) table { return table{blocks: blocks, chunks: map[uint32][]cell{}} }

func (t *table) get(i uint32) cell {
	if c := t.chunks[i/chunkCells]; c != nil {
		return c[i%chunkCells]
	}
	return cell{}
}

// at is the place of block i.
func (t *table) at(i uint32) *cell {
	c := t.chunks[i/chunkCells]
	if c == nil {
		c = make([]cell, min(chunkCells, t.blocks-int64(i/chunkCells)*chunkCells))
		t.chunks[i/chunkCells] = c
	}
	return &c[i%chunkCells]
}

// hold notes that block i is stored as r says.
func (t *table) hold(h header, r record) {
	t.drop(h, r.block)
	c := t.at(r.block)
	c.hash, c.length = r.hash, r.length
	c.state = c.state&renewed | held
	if r.flags&flagZstd != 0 {
		c.state |= packed
	}
	t.held++
	t.bytes += h.allocated(int64(r.length))
}

// drop forgets block i.
func (t *table) drop(h header, i uint32) {
	if !t.get(i).has(held) {
		return
	}
	c := t.at(i)
	t.held--
	t.bytes -= h.allocated(int64(c.length))
	*c = cell{state: renewed}
}

// take applies a record of the journal.
func (t *table) take(h header, r record) {
	switch r.kind {
	case kindBlock:
		t.hold(h, r)
	case kindDrop:
		t.drop(h, r.block)
	}
}

// each calls f with the held blocks in order.
func (t *table) each(f func(i uint32, c cell)) {
	for _, n := range slices.Sorted(maps.Keys(t.chunks)) {
		for j, c := range t.chunks[n] {
			if c.has(held) {
				f(n*chunkCells+uint32(j), c)
			}
		}
	}
}

// records are those that a fresh journal needs for the blocks.
func (t *table) records() (rs []record) {
	t.each(func(i uint32, c cell) {
		r := record{kind: kindBlock, block: i, length: c.length, hash: c.hash}
		if c.has(packed) {
			r.flags = flagZstd
		}
		rs = append(rs, r)
	})
	return rs
}

// runs joins blocks, sorted, to ranges of bytes.
func runs(h header, blocks []uint32) (rs []Run) {
	for _, i := range blocks {
		r := Run{int64(i) * h.block, int64(i)*h.block + h.length(i)}
		if n := len(rs); n > 0 && rs[n-1].End == r.Start {
			rs[n-1].End = r.End
			continue
		}
		rs = append(rs, r)
	}
	return rs
}
