package cache

import (
	"sync"
	"sync/atomic"

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

	front atomic.Int64 // the farthest byte brought, but for leaps
	anew  atomic.Bool  // of all, as the origin knows no ranges
	pull  pull
}

const (
	// comesSoon is how far before a byte a fetch may be that is waited for. Who
	// seeks in a film farther than that asks for himself; the engine fetches
	// for both.
	comesSoon = 4 << 20
	// leap is farther ahead than a download reads on.
	leap = 64 << 20
	// index is what is fetched early of the end of a film.
	index = 1 << 20
)

// brought notes bytes that have come, up to end.
func (l *live) brought(end int64) {
	for {
		front := l.front.Load()
		early := end > l.r.End-index && front+2*comesSoon < l.r.End-index
		if end <= front || end > front+leap || early || l.front.CompareAndSwap(front, end) {
			return
		}
	}
}

// begin notes that r of the entry is being fetched, until end.
func (x *lives) begin(id disk.ID, r ranges.Range) *live {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := &live{all: x, id: id, r: r, over: make(chan struct{})}
	l.front.Store(r.Start)
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
		if o.hole && o.r.Contains(r.Start) && r.Start <= o.r.Start+comesSoon {
			return o, false
		}
	}
	l = &live{all: x, id: id, r: r, over: make(chan struct{}), hole: true}
	l.front.Store(r.Start)
	if x.of == nil {
		x.of = map[disk.ID][]*live{}
	}
	x.of[id] = append(x.of[id], l)
	return l, true
}

// at is a fetch that will come to off some time, or nil.
func (x *lives) at(id disk.ID, off int64) *live {
	return x.find(id, off, func(*live) bool { return true })
}

// soon is the fetch that will come to off soonest, or nil if none will soon.
func (x *lives) soon(id disk.ID, off int64) (first *live) {
	x.find(id, off, func(l *live) bool {
		if front := l.front.Load(); off <= front+comesSoon && (first == nil || front > first.front.Load()) {
			first = l
		}
		return false
	})
	return first
}

// again is a fetch of all that has been begun anew and will come to off, or nil.
func (x *lives) again(id disk.ID, off int64) *live {
	return x.find(id, off, func(l *live) bool { return l.anew.Load() && l.front.Load() <= off })
}

func (x *lives) find(id disk.ID, off int64, fits func(*live) bool) *live {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, l := range x.of[id] {
		if l.r.Contains(off) && fits(l) {
			return l
		}
	}
	return nil
}
