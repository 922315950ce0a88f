package disk

import (
	"io"
	"os"
)

const (
	// aheadMax blocks are checked per call of File: a mebibyte, so that the first
	// byte does not wait for the whole.
	aheadMax = 4
	// runMax bounds one run; it is 256 MiB.
	runMax = 1024
)

// Handle is a file of one reader, for sendfile: the kernel sends from the file's
// own position, so that readers cannot share one. It is for one goroutine.
type Handle struct {
	e      *Entry
	file   *os.File
	failed bool
}

// Handle makes one. It holds the entry until Close.
func (e *Entry) Handle() *Handle { return &Handle{e: e.Acquire()} }

// File returns a file positioned at fileOffset, where n bytes of the resource
// from off on lie in one piece, checked. ok is false where they do not: packed,
// in memory only, missing; ReadAt knows. The file belongs to the handle, and is
// the same at each call.
func (h *Handle) File(off int64) (f *os.File, fileOffset, n int64, ok bool) {
	if n = h.e.checked(off); n == 0 || !h.open() {
		return nil, 0, 0, false
	}
	fileOffset = headerSize + off
	if _, err := h.file.Seek(fileOffset, io.SeekStart); err != nil {
		return nil, 0, 0, false
	}
	return h.file, fileOffset, n, true
}

func (h *Handle) open() bool {
	if h.file != nil || h.failed {
		return h.file != nil
	}
	if o, can := h.e.v.fs.(opener); can {
		// An entry that was removed has no name any more: ReadAt goes on.
		if f, err := o.OpenFile(h.e.header.id.name()); err == nil {
			h.file = f
			return true
		}
	}
	h.failed = true
	return false
}

// Close gives the entry back.
func (h *Handle) Close() {
	if h.file != nil {
		h.file.Close()
		h.file = nil
	}
	h.e.Release()
}

// checked is how many bytes from off on lie raw and checked in the file. It checks
// a few blocks itself.
func (e *Entry) checked(off int64) (n int64) {
	if off < 0 {
		return 0
	}
	ahead := aheadMax
	for range runMax {
		if off+n >= e.header.total {
			break
		}
		i := uint32((off + n) / e.header.block)
		c, f := e.place(i, nil, 0)
		if f == nil || c.has(packed) {
			break
		}
		if !c.has(verified) {
			if ahead == 0 || e.checkBlock(f, i, c) != nil {
				break
			}
			ahead--
		}
		n = int64(i)*e.header.block + e.header.length(i) - off
	}
	return n
}

// checkBlock reads block i only to compare its hash.
func (e *Entry) checkBlock(f File, i uint32, c cell) error {
	s := e.v.buffers.scratch()
	defer e.v.buffers.done(s)
	return e.check(f, i, c, s.b[:c.length])
}
