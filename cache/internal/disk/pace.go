package disk

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// awaitedTime is for how long an entry counts as awaited after a reader has
	// stood at its end.
	awaitedTime = time.Second
	// paceMost is the longest that Pace waits, and how long the disk may take for
	// one block before nobody waits for it.
	paceMost = 200 * time.Millisecond
	// hangs is for how long nobody waits then.
	hangs = 2 * time.Second
)

// Pace waits for a moment if the disk is behind with what has been filled and others
// follow this entry: what is dropped then, each of them has to fetch again. It waits
// for a fifth of a second at most, and not at all for a disk that hangs. To be called
// before more is fetched.
func (f *Fill) Pace(ctx context.Context) {
	b := f.e.v.buffers
	if !b.late.behind(b.limit) || !f.e.awaited() {
		return
	}
	t := time.NewTimer(paceMost)
	defer t.Stop()
	for wrote := false; ; wrote = true {
		next := b.late.next(b.limit)
		if next == nil {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			return
		case <-t.C:
			if !wrote {
				b.late.hung(f.e.v.now())
			}
			return
		}
	}
}

// awaited reports that a reader follows what is being filled.
func (e *Entry) awaited() bool {
	now := e.v.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	return now.Sub(e.followed) < awaitedTime && now.Sub(e.v.buffers.late.hungAt()) >= hangs
}

// arrears are the whole blocks that wait for the disk.
type arrears struct {
	bytes atomic.Int64

	mu   sync.Mutex    // guards what follows
	less chan struct{} // closed when they get less; nil: nobody waits for that
	hang time.Time     // when the disk was found to hang
}

// behind reports that they fill half of the memory for blocks.
func (a *arrears) behind(limit int64) bool { return a.bytes.Load() > limit/2 }

// next is closed when they get less; nil where they are few.
func (a *arrears) next(limit int64) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.behind(limit) {
		return nil
	}
	if a.less == nil {
		a.less = make(chan struct{})
	}
	return a.less
}

func (a *arrears) add(b *buffer) {
	b.late = true
	a.bytes.Add(int64(len(b.b)))
}

func (a *arrears) done(b *buffer) {
	if !b.late {
		return
	}
	b.late = false
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bytes.Add(int64(-len(b.b)))
	if a.less != nil {
		close(a.less)
		a.less = nil
	}
}

func (a *arrears) hung(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hang = now
}

func (a *arrears) hungAt() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.hang
}
