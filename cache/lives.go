package cache

import (
	"sync"

	"dtpx/cache/internal/disk"
	ranges "dtpx/range"
)

// lives are the ranges of entries that somebody is just fetching: who comes later
// waits for them instead of asking the origin again.
type lives struct {
	mu sync.Mutex
	of map[disk.ID][]*live // guarded by mu
}

type live struct {
	all  *lives
	id   disk.ID
	r    ranges.Range
	over chan struct{}
	once sync.Once
	hole bool // a reader's, for what the others have left out
}

// begin notes that r of the entry is being fetched, until end.
func (x *lives) begin(id disk.ID, r ranges.Range) *live {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := &live{all: x, id: id, r: r, over: make(chan struct{})}
	if x.of == nil {
		x.of = map[disk.ID][]*live{}
	}
	x.of[id] = append(x.of[id], l)
	return l
}

func (l *live) end() {
	if l == nil {
		return
	}
	l.once.Do(func() {
		l.all.mu.Lock()
		defer l.all.mu.Unlock()
		var rest []*live
		for _, o := range l.all.of[l.id] {
			if o != l {
				rest = append(rest, o)
			}
		}
		l.all.of[l.id] = rest
		if len(rest) == 0 {
			delete(l.all.of, l.id)
		}
		close(l.over)
	})
}

// claim makes the caller the one who fetches r, which has been missed by whoever
// fetches the rest: ok is false if another reader is at it, whose fetch l is then.
// Twenty who follow would fetch each hole twenty times.
func (x *lives) claim(id disk.ID, r ranges.Range) (l *live, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, o := range x.of[id] {
		if o.hole && o.r.Contains(r.Start) {
			return o, false
		}
	}
	l = &live{all: x, id: id, r: r, over: make(chan struct{}), hole: true}
	if x.of == nil {
		x.of = map[disk.ID][]*live{}
	}
	x.of[id] = append(x.of[id], l)
	return l, true
}

// at is a fetch that will come to off, or nil.
func (x *lives) at(id disk.ID, off int64) *live {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, l := range x.of[id] {
		if l.r.Contains(off) {
			return l
		}
	}
	return nil
}
