// Package disk keeps partly filled resources ("entries") in files, within a
// budget. It knows nothing of HTTP: package cache decides what is kept and what
// it means.
//
// An entry is one file: a header, the data with block i at its natural offset
// (what is missing is a hole), and behind the data a journal that says which
// blocks are held and what their bytes hash to. Nothing waits for the disk:
//
//	Fill.WriteAt: copy into the block's buffer; if the block is whole, queue it
//	writer:       for each block: make room, pack, write data, append its record
//	ReadAt:       from the queue, or from the file; at first read hash and compare
//
// Nothing is synced on the way. A record is believed only if its checksum, which
// is chained to the record before it, is right, and a block only if its bytes
// hash to what its record says. So whatever a crash leaves of the writes, in
// whatever order, a block is either right or missing; see journal.go.
//
// The directory's index (indexlog.go) is a log of fixed-size records that may
// lag behind the files: it makes opening quick, and a scan in the background
// (scan.go) repairs it.
//
//	value.go, header.go, journal.go, record.go, table.go, assemble.go   values only
//	fs.go       the file system as a seam
//	store.go    the directory from the caller's view; off while there is trouble
//	volume.go   the directory from one mount to the first trouble; its index
//	writer.go   the only goroutine that changes files
//
// Not guaranteed: that anything outlives a power cut, removals included but for
// those before a Sync; that stored bytes are exact between a crash and the scan;
// protection from anybody who may write in the directory: hashes find accidents, not
// malice. A read that the disk never answers blocks its caller, and Close.
package disk

import (
	"encoding/hex"
	"errors"
	"log/slog"
	"time"
)

const (
	// BlockSize is the unit of holding, checking and dropping.
	BlockSize = 256 << 10
	// MaxMeta bounds the caller's record of an entry.
	MaxMeta = 64 << 10
	// blockMin is the least BlockSize: that of the tests.
	blockMin = 256
	// MaxTotal bounds an entry: more than any file system of today keeps in one
	// file, and block numbers fit into 32 bits even with the tests' blocks.
	MaxTotal = 1 << 39
)

var (
	// ErrMissing says that the bytes are not held, or no more.
	ErrMissing = errors.New("block is not held")
	// ErrInUse says that another store has the directory open.
	ErrInUse = errors.New("cache directory is in use by another process")
	// ErrOff says that the store takes nothing now: see Store.Off.
	ErrOff = errors.New("cache is off")
)

// Key is the caller's keyed hash of what an entry is a version of.
type Key [32]byte

// ID names one entry: random, never used again.
type ID [16]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String wrote.
func ParseID(s string) (id ID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return ID{}, errors.New("parse entry id: want 32 hex digits")
	}
	return ID(b), nil
}

// Run is a range of bytes, End exclusive.
type Run struct{ Start, End int64 }

// Options of a store. The zero value of each but Dir is a default.
type Options struct {
	Size    int64 // budget in bytes on disk; 10 GiB
	Reserve int64 // free disk to leave to others; min(1 GiB, 5 %), negative: none
	Memory  int64 // for blocks in assembly and in the queue; 16 MiB
	// Placement multiplies the value of what is stored, for copies that are
	// wanted here more or less than elsewhere. It is called under a lock.
	Placement func(Key) float64
	Log       *slog.Logger
	Now       func() time.Time
	// FS opens the directory; nil is the real one. It is called again after
	// trouble.
	FS func(dir string) (FS, error)
	// BlockSize is for tests: small blocks find the big bugs.
	BlockSize int
	// VerifyRate bounds Verify, in bytes per second; 64 MiB.
	VerifyRate int64
}

// Info is what the index knows of an entry.
type Info struct {
	ID      ID
	Key     Key
	Total   int64
	Stored  int64 // bytes on disk, with header and journal
	Created time.Time
	Used    time.Time // last
	Uses    int64
	Cost    float64
	InUse   bool
}

// Stats are counted since Open; Entries to Memory are of now.
type Stats struct {
	Entries int
	Bytes   int64 // on disk, as the budget counts
	Size    int64 // the budget
	Open    int   // entries with an open file
	Memory  int64 // bytes in assembly and in the queue

	Written     int64 // blocks
	Saved       int64 // bytes by compression
	Dropped     int64 // blocks not taken, because memory was full: the disk is slow
	Refused     int64 // blocks not written, because there was no room
	Evicted     int64 // entries
	Damaged     int64 // blocks that did not hash to what their record says
	Unreadable  int64 // reads that the disk failed
	Adopted     int64 // files that the index did not know
	Foreign     int64 // files deleted because they are no entries of ours
	Off         string
	OffSince    time.Time
	TimesTurned int64 // how often trouble has turned the store off
}

func (o *Options) setDefaults() {
	if o.Size <= 0 {
		o.Size = 10 << 30
	}
	if o.Memory <= 0 {
		o.Memory = 16 << 20
	}
	if o.BlockSize <= 0 {
		o.BlockSize = BlockSize
	}
	o.BlockSize = max(o.BlockSize, blockMin)
	if o.VerifyRate <= 0 {
		o.VerifyRate = 64 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = openDir
	}
}
