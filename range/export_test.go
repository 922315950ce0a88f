package ranges

import (
	"net/url"
	"time"

	"dtpx/range/internal/sched"
)

// Small makes an engine work in blocks of 256 bytes and slices of 1 KiB, so
// that a resource of some KiB has as many edges as a real one.
func (e *Engine) Small() *Engine {
	e.block = 256
	e.tune = func(p *sched.Params) {
		p.MinSlice, p.MaxSlice, p.Trial, p.Drain = 1<<10, 8<<10, 1<<10, 512
		p.HedgeBudget = 4 << 10
		p.MinGain = 10 * time.Millisecond
	}
	return e
}

// Plans draws the plans of the running downloads.
func (e *Engine) Plans() (out []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ds := range e.active {
		for _, d := range ds {
			d.mu.Lock()
			out = append(out, d.plan.String())
			d.mu.Unlock()
		}
	}
	return out
}

// NewMemStore is the store that an engine uses unless told otherwise.
func NewMemStore(block int64) Store { return newMemStore(block) }

// Facts is what the engine would rely upon for a URL.
func (h *Hosts) Facts(rawURL string) HostFacts {
	u, _ := url.Parse(rawURL)
	return h.get(u)
}

// Teach changes what is known of a URL's host.
func (h *Hosts) Teach(rawURL string, change func(*HostFacts)) {
	u, _ := url.Parse(rawURL)
	h.learn(u, change)
}
