package disk

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/cespare/xxhash/v2"
)

const (
	// headerSize is a page, so that blocks lie on pages, too.
	headerSize = 4096
	headerLen  = 96 // what of it is used
	entryMagic = "dtpx\x00ent"
	// entryVersion changes with the header or the journal. Another one, older or
	// newer, is not read: a cache may be forgotten.
	entryVersion = 1
)

var errForeign = errors.New("not an entry of this store")

// header is the first page of an entry's file. It never changes.
//
//	0 magic 8 | 8 version 4 | 12 block size 4 | 16 total 8 | 24 created 8 |
//	32 id 16 | 48 key 32 | 80 zero 8 | 88 xxhash64 of all before 8
type header struct {
	id      ID
	key     Key
	total   int64
	created int64 // ns since 1970
	block   int64
}

func (h header) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, entryMagic)
	binary.LittleEndian.PutUint32(b[8:], entryVersion)
	binary.LittleEndian.PutUint32(b[12:], uint32(h.block))
	binary.LittleEndian.PutUint64(b[16:], uint64(h.total))
	binary.LittleEndian.PutUint64(b[24:], uint64(h.created))
	copy(b[32:], h.id[:])
	copy(b[48:], h.key[:])
	binary.LittleEndian.PutUint64(b[88:], xxhash.Sum64(b[:88]))
	return b
}

// sum seeds the journal's chain: records of another entry that a file system
// left in recycled pages never fit.
func (h header) sum() uint64 { return binary.LittleEndian.Uint64(h.encode()[88:]) }

// decodeHeader accepts what encode writes for blocks of this size.
func decodeHeader(b []byte, block int64) (header, error) {
	if len(b) < headerLen || string(b[:8]) != entryMagic ||
		binary.LittleEndian.Uint32(b[8:]) != entryVersion ||
		binary.LittleEndian.Uint64(b[88:]) != xxhash.Sum64(b[:88]) {
		return header{}, errForeign
	}
	h := header{
		id:      ID(b[32:48]),
		key:     Key(b[48:80]),
		total:   int64(binary.LittleEndian.Uint64(b[16:])),
		created: int64(binary.LittleEndian.Uint64(b[24:])),
		block:   int64(binary.LittleEndian.Uint32(b[12:])),
	}
	if h.block != block || h.total < 0 || h.total > MaxTotal {
		return header{}, errForeign
	}
	return h, nil
}

// blocks is how many there are.
func (h header) blocks() int64 { return (h.total + h.block - 1) / h.block }

// length of block i; the last one may be short.
func (h header) length(i uint32) int64 { return min(h.block, h.total-int64(i)*h.block) }

// at is where block i lies in the file.
func (h header) at(i uint32) int64 { return headerSize + int64(i)*h.block }

// journal is where the journal begins.
func (h header) journal() int64 { return headerSize + h.total }

// page is what a file system allocates at least; the tests' small blocks have
// small pages.
func (h header) page() int64 { return min(headerSize, h.block/16) }

// allocated is what n bytes take on disk.
func (h header) allocated(n int64) int64 { return (n + h.page() - 1) / h.page() * h.page() }

// stored is what an entry takes with these blocks and so much journal.
func (h header) stored(blocks, journal int64) int64 {
	return headerSize + blocks + h.allocated(journal)
}

// createdAt is for people.
func (h header) createdAt() time.Time { return time.Unix(0, h.created) }
