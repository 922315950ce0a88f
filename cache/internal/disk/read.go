package disk

import (
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
)

// ReadAt reads held bytes, each block checked at its first read. It returns
// ErrMissing where a block is not held, or turned out to be damaged.
func (e *Entry) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("read entry: negative offset")
	}
	for n < len(p) && off < e.header.total {
		m, err := e.readBlock(p[n:], off)
		n, off = n+m, off+int64(m)
		if err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readBlock reads from off to the end of its block, or what p has room for.
func (e *Entry) readBlock(p []byte, off int64) (int, error) {
	i, at := uint32(off/e.header.block), off%e.header.block
	p = p[:min(int64(len(p)), e.header.length(i)-at)]
	c, f := e.place(i, p, int(at))
	switch {
	case f == nil && c.has(held): // came from memory
		return len(p), nil
	case f == nil:
		return 0, ErrMissing
	case c.has(packed):
		return e.readPacked(f, i, c, p, int(at))
	case c.has(verified):
		return e.readVerified(f, i, c, p, off)
	}
	return e.readFirst(f, i, c, p, int(at))
}

// place says where block i is. If it is still in memory, p is filled with what
// is at at, and f is nil with c held.
func (e *Entry) place(i uint32, p []byte, at int) (c cell, f File) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.v.off.Load() {
		return cell{}, nil
	}
	if b := e.pending[i]; b != nil {
		copy(p, b.b[at:])
		return cell{state: held}, nil
	}
	if c = e.table.get(i); !c.has(held) {
		return cell{}, nil
	}
	return c, e.file
}

// readVerified reads without hashing. The block may have been dropped and renewed
// meanwhile: then the bytes are of no known record.
func (e *Entry) readVerified(f File, i uint32, c cell, p []byte, off int64) (int, error) {
	if err := e.v.readFull(f, p, headerSize+off); err != nil {
		return 0, e.unreadable(i, c, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.table.get(i).same(c) {
		return 0, ErrMissing
	}
	return len(p), nil
}

func (e *Entry) readFirst(f File, i uint32, c cell, p []byte, at int) (int, error) {
	if at == 0 && len(p) == int(c.length) { // no need to copy
		if err := e.check(f, i, c, p); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	s := e.v.buffers.scratch()
	defer e.v.buffers.done(s)
	b := s.b[:c.length]
	if err := e.check(f, i, c, b); err != nil {
		return 0, err
	}
	return copy(p, b[at:]), nil
}

// check reads the stored bytes of block i into b and compares their hash. A
// damaged block is dropped.
func (e *Entry) check(f File, i uint32, c cell, b []byte) error {
	if err := e.v.readFull(f, b, e.header.at(i)); err != nil {
		return e.unreadable(i, c, err)
	}
	if xxhash.Sum64(b) != c.hash {
		return e.damaged(i, c)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.table.get(i); p.same(c) {
		e.table.at(i).state |= verified
	}
	return nil
}

func (e *Entry) damaged(i uint32, c cell) error {
	e.v.count.damaged.Add(1)
	e.v.log.Debug("block damaged", "entry", e.header.id, "block", i)
	e.drop(i, c)
	return ErrMissing
}

// unreadable drops block i, too: a sector that cannot be read can often be
// written again.
func (e *Entry) unreadable(i uint32, c cell, err error) error {
	if errors.Is(err, io.EOF) { // the file is shorter than it was
		return e.damaged(i, c)
	}
	e.v.log.Debug("block unreadable", "entry", e.header.id, "block", i, "err", err)
	e.drop(i, c)
	return ErrMissing
}

// readPacked unpacks block i, or finds it unpacked: a reader with small steps
// would unpack it many times.
func (e *Entry) readPacked(f File, i uint32, c cell, p []byte, at int) (int, error) {
	k := plainKey{e.header.id, i, c.hash}
	if e.v.plain.read(k, p, at) {
		return len(p), nil
	}
	s, out := e.v.buffers.scratch(), e.v.buffers.scratch()
	defer e.v.buffers.done(s)
	if err := e.check(f, i, c, s.b[:c.length]); err != nil {
		e.v.buffers.done(out)
		return 0, err
	}
	b, err := e.v.zip.unpack(s.b[:c.length], out.b[:e.header.length(i)])
	if err != nil {
		e.v.buffers.done(out)
		return 0, e.damaged(i, c)
	}
	n := copy(p, b[at:])
	if old := e.v.plain.keep(k, out, len(b)); old != nil {
		e.v.buffers.done(old)
	}
	return n, nil
}

// readErrorsMax reads that fail in a row are trouble with the disk, not with a
// sector of it.
const readErrorsMax = 8

// readFull fills p. It returns io.EOF if there is less.
func (v *volume) readFull(f File, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		if v.readErrors.Load() > 0 {
			v.readErrors.Store(0)
		}
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.EOF
	}
	v.count.unreadable.Add(1)
	if v.readErrors.Add(1) >= readErrorsMax {
		v.fail(fmt.Errorf("read: %w", err))
	}
	return err
}
