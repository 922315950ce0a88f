package testbed

import "sync"

// tally counts what runs. Unlike a WaitGroup it may grow from zero while somebody
// waits, as a handler on its way into the door does.
type tally struct {
	mu   sync.Mutex
	n    int
	zero sync.Cond
}

func (t *tally) add(d int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n += d; t.n == 0 && t.zero.L != nil {
		t.zero.Broadcast()
	}
}

func (t *tally) run(f func()) {
	t.add(1)
	go func() {
		defer t.add(-1)
		f()
	}()
}

func (t *tally) wait() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.zero.L = &t.mu
	for t.n > 0 {
		t.zero.Wait()
	}
}
