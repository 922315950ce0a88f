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

// checked is a whole body that others may have altered.
type checked struct {
	body  io.ReadCloser
	sum   hash.Hash
	want  *unproven
	left  int64                  // of the body
	judge func(right bool) error // what to do about it; an error takes the place of the last slice
	gone  func()                 // the client has left before that; nil: nothing
	held  []byte                 // read and not yet sent: at the end only
	done  bool
}

func check(body io.ReadCloser, size int64, u *unproven, judge func(right bool) error) *checked {
	return &checked{body: body, sum: rules.Digest{Algo: u.Algo, Hex: u.Hex}.Hash(), want: u, left: size, judge: judge}
}

// check is the body of an entry that a neighbour has filled.
func (o *object) check(body io.ReadCloser) *checked {
	c, id, m := o.c, o.entry.ID(), o.meta
	return check(body, o.total(), m.Unproven, func(right bool) error {
		if right {
			c.proveLater(id)
			return nil
		}
		c.condemn(id, m)
		return errWrong
	})
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
	if err := c.judge(c.want.matches(c.sum.Sum(nil))); err != nil {
		return err
	}
	c.held, c.done = b, true
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
func (c *checked) Close() error {
	err := c.body.Close() // a Read that waits comes back
	if c.gone != nil {
		c.gone()
	}
	return err
}

func (u *unproven) matches(sum []byte) bool { return hex.EncodeToString(sum) == u.Hex }
