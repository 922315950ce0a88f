package disk

import (
	"encoding/binary"
	"math"

	"github.com/cespare/xxhash/v2"
)

// The index log is a head and then records, all of the same size, so that one
// that is torn or lost takes no other with it. The last record of an ID wins.
//
//	0 op 1 | 1 flags 1 | 2 zero 2 | 4 cost 4 | 8 id 16 | 24 key 32 | 56 total 8 |
//	64 stored 8 | 72 created 8 | 80 heat 8 | 88 used 4 | 92 uses 4 | 96 xxhash64 8
//
// The head is a record with opHead, and magic and version in the place of the ID.
const (
	indexLen     = 104
	indexMagic   = "dtpx\x00idx"
	indexVersion = 1
	// storedMax keeps the sum over maxEntries damaged or forged records below 2^62.
	storedMax = 1 << 43
)

type op uint8

const (
	opHead   op = 0x68
	opPut    op = 1
	opRemove op = 2
)

// flagSettled says that stored was exact, and that no block was written since.
const flagSettled = 1

func seal(b *[indexLen]byte, to []byte) []byte {
	binary.LittleEndian.PutUint64(b[96:], xxhash.Sum64(b[:96]))
	return append(to, b[:]...)
}

func appendHead(to []byte) []byte {
	var b [indexLen]byte
	b[0] = byte(opHead)
	copy(b[8:], indexMagic)
	binary.LittleEndian.PutUint32(b[16:], indexVersion)
	return seal(&b, to)
}

func appendRemove(to []byte, id ID) []byte {
	var b [indexLen]byte
	b[0] = byte(opRemove)
	copy(b[8:], id[:])
	return seal(&b, to)
}

func appendPut(to []byte, it *item) []byte {
	var b [indexLen]byte
	b[0] = byte(opPut)
	if it.has(itemSettled) {
		b[1] = flagSettled
	}
	binary.LittleEndian.PutUint32(b[4:], math.Float32bits(it.cost))
	copy(b[8:], it.id[:])
	copy(b[24:], it.key[:])
	binary.LittleEndian.PutUint64(b[56:], uint64(it.total))
	binary.LittleEndian.PutUint64(b[64:], uint64(it.stored))
	binary.LittleEndian.PutUint64(b[72:], uint64(it.created))
	binary.LittleEndian.PutUint64(b[80:], math.Float64bits(it.heat))
	binary.LittleEndian.PutUint32(b[88:], it.used)
	binary.LittleEndian.PutUint32(b[92:], it.uses)
	return seal(&b, to)
}

func whole(b []byte) bool {
	return len(b) == indexLen && binary.LittleEndian.Uint64(b[96:]) == xxhash.Sum64(b[:96])
}

func isHead(b []byte) bool {
	return whole(b) && op(b[0]) == opHead && string(b[8:16]) == indexMagic &&
		binary.LittleEndian.Uint32(b[16:]) == indexVersion
}

// decodeIndex reads a record; ok is false if it is none.
func decodeIndex(b []byte) (o op, it item, ok bool) {
	if !whole(b) {
		return 0, item{}, false
	}
	it.id = ID(b[8:24])
	switch o = op(b[0]); o {
	case opRemove:
		return o, it, true
	case opPut:
		it.key = Key(b[24:56])
		it.cost = math.Float32frombits(binary.LittleEndian.Uint32(b[4:]))
		it.total = int64(binary.LittleEndian.Uint64(b[56:]))
		it.stored = int64(binary.LittleEndian.Uint64(b[64:]))
		it.created = int64(binary.LittleEndian.Uint64(b[72:]))
		it.heat = math.Float64frombits(binary.LittleEndian.Uint64(b[80:]))
		it.used = binary.LittleEndian.Uint32(b[88:])
		it.uses = binary.LittleEndian.Uint32(b[92:])
		it.set(itemSettled, b[1]&flagSettled != 0)
		return o, it, it.sensible()
	}
	return 0, item{}, false
}

func (it *item) sensible() bool {
	return it.total >= 0 && it.total <= MaxTotal && it.stored >= 0 && it.stored <= storedMax &&
		it.heat >= coldest && it.heat <= -coldest && it.cost > 0 && it.cost <= math.MaxFloat32
}
