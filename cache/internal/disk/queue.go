package disk

import (
	"slices"
	"sync"
	"time"
)

// queue is the entries that the writer has something to do for, each once: what
// it is lies in the entry, bounded by the buffers' limit.
type queue struct {
	wake chan struct{} // has one element when there may be work

	mu      sync.Mutex // guards what follows, and Entry.queued; taken last
	list    []*Entry
	late    bool   // the writer is woken in lateWake
	current *Entry // the writer is at it
	closed  bool
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

const (
	// A wake-up of the writer is for enough blocks, of one entry or of some.
	enoughBlocks  = 4
	enoughEntries = 4
	// lateWake is when it looks for what are less.
	lateWake = 250 * time.Millisecond
)

// push queues e and wakes the writer; ok is false when nothing is written any
// more.
func (q *queue) push(e *Entry) (ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.addLocked(e) {
		q.kick()
	}
	return !q.closed
}

// pushBlocks queues e, of which n blocks wait, and leaves the writer asleep until
// there is more, but not for long.
func (q *queue) pushBlocks(e *Entry, n int) (ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case !q.addLocked(e):
	case n >= enoughBlocks || len(q.list) >= enoughEntries:
		q.kick()
	case !q.late:
		q.late = true
		time.AfterFunc(lateWake, q.wakeLate)
	}
	return !q.closed
}

func (q *queue) addLocked(e *Entry) (ok bool) {
	if !q.closed && !e.queued {
		e.queued = true
		q.list = append(q.list, e)
	}
	return !q.closed
}

func (q *queue) wakeLate() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.late = false
	if len(q.list) > 0 {
		q.kick()
	}
}

// kick wakes the writer.
func (q *queue) kick() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// pop returns the next entry, nil if there is none.
func (q *queue) pop() *Entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) == 0 {
		return nil
	}
	e := q.list[0]
	q.list = slices.Delete(q.list, 0, 1)
	e.queued = false
	q.current = e
	return e
}

// finish says that the writer is at nothing.
func (q *queue) finish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.current = nil
}

// busy reports that the writer has not done with e.
func (q *queue) busy(e *Entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return e.queued || q.current == e
}

// close refuses more, and returns what was left.
func (q *queue) close() []*Entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := q.list
	for _, e := range left {
		e.queued = false
	}
	q.list, q.current, q.closed = nil, nil, true
	return left
}
