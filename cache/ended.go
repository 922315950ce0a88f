package cache

import (
	"sync"

	"dtpx/cache/internal/disk"
)

// ended remembers what has been taken out of the cache, so that an answer which was
// on its way then does not put it back: an unsafe request has changed the resource
// since it was asked for (RFC 9111 §4.4), or somebody wanted it gone.
type ended struct {
	mu    sync.Mutex // guards what follows
	n     uint64     // counts what is noted
	at    map[disk.Key]uint64
	floor uint64 // what is forgotten was not later
}

const endedMax = 4096

// now is what since compares with.
func (e *ended) now() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.n
}

func (e *ended) note(k disk.Key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.n++
	if e.at == nil || len(e.at) >= endedMax {
		e.at, e.floor = map[disk.Key]uint64{}, e.n-1
	}
	e.at[k] = e.n
}

// all notes everything.
func (e *ended) all() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.n++
	e.at, e.floor = nil, e.n
}

// since reports whether k has been taken out, or may have been, since now was then.
func (e *ended) since(k disk.Key, then uint64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.at[k] > then || e.floor > then
}
