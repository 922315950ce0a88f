package ranges

import (
	"sync"
	"sync/atomic"

	"dtpx/range/internal/sched"
)

func schedID(k int) sched.SourceID { return sched.SourceID(k + 1) }

func stateOf(s sched.SourceStats, over bool) string {
	switch {
	case over:
		return "done"
	case s.Gone:
		return "out"
	case s.Parked:
		return "parked"
	case s.Benched:
		return "benched"
	case s.Open > 0:
		return "active"
	}
	return "idle"
}

// Stats counts what an Engine has done since it started.
type Stats struct {
	Downloads map[string]int64 `json:"downloads"` // by final state
	Bytes     map[string]int64 `json:"bytes"`     // stored, by kind of source
	Wasted    int64            `json:"wasted"`    // bytes fetched for nothing
	Passed    int64            `json:"passed"`    // bytes of large responses that were not accelerated
	Requests  int64            `json:"requests"`
	Refused   int64            `json:"refused"`
	Active    int              `json:"active"`
}

type counters struct {
	passed atomic.Int64

	mu        sync.Mutex
	downloads map[string]int64
	bytes     map[string]int64
	wasted    int64
	requests  int64
	refused   int64
}

// count adds a finished download.
func (c *counters) count(i Info) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.downloads == nil {
		c.downloads, c.bytes = map[string]int64{}, map[string]int64{}
	}
	c.downloads[i.State]++
	for _, s := range i.Sources {
		c.bytes[s.Kind] += s.Bytes
		c.wasted += s.Wasted
		c.requests += int64(s.Requests)
		c.refused += int64(s.Refused)
	}
}

// Stats returns the counters; running downloads are in Active only.
func (e *Engine) Stats() Stats {
	e.init()
	c := &e.stats
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{Downloads: map[string]int64{}, Bytes: map[string]int64{}, Wasted: c.wasted,
		Passed: c.passed.Load(), Requests: c.requests, Refused: c.refused}
	for k, v := range c.downloads {
		s.Downloads[k] = v
	}
	for k, v := range c.bytes {
		s.Bytes[k] = v
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ds := range e.active {
		s.Active += len(ds)
	}
	return s
}
