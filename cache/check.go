package cache

import (
	"encoding/hex"
	"errors"
	"hash"
	"io"

	"dtpx/cache/internal/rules"
)

// lastSlice is how much of an unproven body is held back until the whole has turned
// out to be right. Without it no program takes the rest for the file.
const lastSlice = 256 << 10

// errWrong is what a client gets in place of the last slice.
var errWrong = errors.New("a neighbour gave bytes that are not what the origin's digest says")

// checked is the whole body of an unproven entry. It is read as *reader is.
type checked struct {
	body io.ReadCloser
	o    object // not acquired: its name and record
	sum  hash.Hash
	left int64  // of the body
	held []byte // read and not yet sent: at the end only
	done bool
}

func (v *visit) check(o *object, body io.ReadCloser) *checked {
	u := o.meta.Unproven
	return &checked{body: body, o: *o, sum: rules.Digest{Algo: u.Algo, Hex: u.Hex}.Hash(), left: o.total()}
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	if free := c.left - lastSlice; free > 0 {
		n, err := c.body.Read(p[:min(int64(len(p)), free)])
		c.sum.Write(p[:n])
		c.left -= int64(n)
		return n, notYet(err)
	}
	if !c.done {
		if err := c.finish(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.held)
	if c.held = c.held[n:]; len(c.held) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// finish reads the last slice and judges the whole.
func (c *checked) finish() error {
	b := make([]byte, c.left)
	if _, err := io.ReadFull(c.body, b); err != nil {
		return notYet(err)
	}
	c.sum.Write(b)
	cache, id := c.o.c, c.o.entry.ID()
	if !c.o.meta.Unproven.matches(c.sum.Sum(nil)) {
		cache.condemn(id, c.o.meta)
		return errWrong
	}
	c.held, c.done = b, true
	cache.proveLater(id)
	return nil
}

// notYet is err where the body must not end.
func notYet(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Close implements io.Closer.
func (c *checked) Close() error { return c.body.Close() }

func (u *unproven) matches(sum []byte) bool { return hex.EncodeToString(sum) == u.Hex }
