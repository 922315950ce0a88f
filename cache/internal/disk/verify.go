package disk

import (
	"context"
	"time"
)

// Verify reads all that is held, at a bounded rate, and drops damaged blocks. f is
// called with each entry and how many of its blocks were damaged.
func (s *Store) Verify(ctx context.Context, f func(i Info, bad int)) error {
	v := s.on()
	if v == nil {
		return ErrOff
	}
	p := pace{rate: s.opts.VerifyRate}
	for _, i := range v.infos() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if v.stopped() {
			return ErrOff
		}
		e, ok := s.Get(i.ID)
		if !ok {
			continue
		}
		bad, err := e.verify(ctx, &p)
		i = e.Info()
		e.Release()
		if err != nil {
			return err
		}
		f(i, bad)
	}
	return nil
}

// verify hashes all blocks, those that were verified, too. The page cache may
// answer in the place of the disk.
func (e *Entry) verify(ctx context.Context, p *pace) (bad int, err error) {
	var blocks []uint32
	e.mu.Lock()
	e.table.each(func(i uint32, _ cell) { blocks = append(blocks, i) })
	e.mu.Unlock()
	for _, i := range blocks {
		c, f := e.place(i, nil, 0)
		if f == nil {
			continue
		}
		if e.checkBlock(f, i, c) != nil {
			bad++
		}
		if err := p.wait(ctx, int64(c.length)); err != nil {
			return bad, err
		}
	}
	return bad, nil
}

// pace spreads bytes over time.
type pace struct{ rate, owed int64 }

// wait returns when n bytes more may be read.
func (p *pace) wait(ctx context.Context, n int64) error {
	p.owed += n
	d := time.Duration(float64(p.owed) / float64(p.rate) * float64(time.Second))
	if d < 20*time.Millisecond { // timers cost, too
		return ctx.Err()
	}
	p.owed = 0
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
