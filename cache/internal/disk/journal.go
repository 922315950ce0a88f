package disk

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"

	"github.com/cespare/xxhash/v2"
)

// The journal is a sequence of records of 32 bytes, a meta record followed by
// its payload. The last valid meta record wins, and of each block the last one
// that names it.
//
//	0 kind 1 | 1 flags 1 | 2 zero 2 | 4 salt 4 | 8 block 4 | 12 length 4 |
//	16 hash 8 | 24 sum 8
//
// hash is the xxhash64 of the stored bytes or of the payload. sum is that of the
// previous record's sum (of the header's, for the first) and the 24 bytes before
// it. Why so:
//
//   - A torn or lost record breaks the chain, and whatever follows is out, valid
//     in itself or not: a later record that reached the disk before an earlier
//     one is not believed. It costs a block that is fetched again.
//   - After a crash the next record is written where the chain broke, and older
//     ones may still stand behind it, even if the file was cut first, as cutting
//     may be lost as well. Their sums continue a chain that is gone. salt is
//     random per open, so that the new chain differs even if the same block is
//     written again.
//   - Zeros are no record, and records of another file continue another header.
//
// A block's record may reach the disk without its data: hash tells at first read.
const recordLen = 32

type kind uint8

const (
	kindMeta  kind = 1 // payload of length bytes follows
	kindBlock kind = 2 // block is held: length bytes at its place
	kindDrop  kind = 3 // block is not held any more
)

// flagZstd says that the stored bytes are a zstd frame.
const flagZstd = 1

type record struct {
	kind   kind
	flags  uint8
	block  uint32
	length uint32
	hash   uint64
}

// chain is where the next record goes, and what it continues.
type chain struct {
	sum  uint64
	end  int64 // bytes of journal
	salt uint32
}

// append adds r and its payload to b.
func (c *chain) append(b []byte, r record, payload []byte) []byte {
	var w [8 + recordLen]byte
	binary.LittleEndian.PutUint64(w[:], c.sum)
	f := w[8:]
	f[0], f[1] = byte(r.kind), r.flags
	binary.LittleEndian.PutUint32(f[4:], c.salt)
	binary.LittleEndian.PutUint32(f[8:], r.block)
	binary.LittleEndian.PutUint32(f[12:], r.length)
	binary.LittleEndian.PutUint64(f[16:], r.hash)
	c.sum = xxhash.Sum64(w[:8+24])
	binary.LittleEndian.PutUint64(f[24:], c.sum)
	c.end += int64(recordLen + len(payload))
	return append(append(b, f...), payload...)
}

func metaRecord(meta []byte) record {
	return record{kind: kindMeta, length: uint32(len(meta)), hash: xxhash.Sum64(meta)}
}

// follow decodes f if it continues the chain; ok is false otherwise.
func (c *chain) follow(f []byte) (r record, ok bool) {
	var w [8 + 24]byte
	binary.LittleEndian.PutUint64(w[:], c.sum)
	copy(w[8:], f[:24])
	sum := binary.LittleEndian.Uint64(f[24:])
	if xxhash.Sum64(w[:]) != sum {
		return record{}, false
	}
	c.sum = sum
	return record{
		kind:   kind(f[0]),
		flags:  f[1],
		block:  binary.LittleEndian.Uint32(f[8:]),
		length: binary.LittleEndian.Uint32(f[12:]),
		hash:   binary.LittleEndian.Uint64(f[16:]),
	}, true
}

// valid reports whether r can be a record of an entry like h.
func (r record) valid(h header) bool {
	switch r.kind {
	case kindMeta:
		return r.length <= MaxMeta
	case kindDrop:
		return int64(r.block) < h.blocks()
	case kindBlock:
		if int64(r.block) >= h.blocks() || r.flags > flagZstd {
			return false
		}
		n := h.length(r.block)
		return int64(r.length) == n && r.flags == 0 || r.length > 0 && int64(r.length) < n && r.flags == flagZstd
	}
	return false
}

// readJournal calls take with each record of r, up to the first that is torn,
// lost or senseless, and returns where that is. The error is the disk's.
func readJournal(r io.Reader, h header, take func(record, []byte)) (chain, error) {
	c := chain{sum: h.sum()}
	in := bufio.NewReaderSize(r, 16<<10)
	var f [recordLen]byte
	for {
		if _, err := io.ReadFull(in, f[:]); err != nil {
			return c, unlessEnd(err)
		}
		next := c
		rec, ok := next.follow(f[:])
		if !ok || !rec.valid(h) {
			return c, nil
		}
		next.end += recordLen
		var payload []byte
		if rec.kind == kindMeta {
			payload = make([]byte, rec.length)
			if _, err := io.ReadFull(in, payload); err != nil {
				return c, unlessEnd(err)
			}
			if xxhash.Sum64(payload) != rec.hash {
				return c, nil
			}
			next.end += int64(rec.length)
		}
		c = next
		take(rec, payload)
	}
}

func unlessEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
