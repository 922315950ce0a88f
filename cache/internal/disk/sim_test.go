package disk

import (
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
)

var (
	errDying = errors.New("dying") // of the step in which it dies
	errDead  = errors.New("dead")
)

// mortal is a disk in memory on a machine that dies after so many steps, in the
// midst of one. What was not synced by then is lost in part, in any order.
type mortal struct {
	mu    sync.Mutex
	rnd   *rand.Rand
	steps int // left; below 0 it is dead
	life  int
	names map[string]*inode // directories have none
	last  map[string]*inode // names that are synced
	moves []func(map[string]*inode)
	lock  bool

	free int64
	lag  bool                        // removing frees nothing yet
	fail func(op, name string) error // what a step shall return
	gate func(op, name string)       // may block
}

type inode struct {
	data, last []byte
	writes     []write // since last
}

// write is one at off, or a cut to off if data is nil.
type write struct {
	off  int64
	data []byte
}

func newMortal(seed uint64) *mortal {
	return &mortal{
		rnd: rand.New(rand.NewPCG(seed, 7)), steps: 1 << 40, free: 1 << 40,
		names: map[string]*inode{}, last: map[string]*inode{},
	}
}

func (w write) apply(b []byte) []byte {
	if w.data == nil {
		if w.off <= int64(len(b)) {
			return b[:w.off:w.off]
		}
		return append(b, make([]byte, w.off-int64(len(b)))...)
	}
	if end := w.off + int64(len(w.data)); end > int64(len(b)) {
		b = append(b, make([]byte, end-int64(len(b)))...)
	}
	copy(b[w.off:], w.data)
	return b
}

// restart gives the machine another life. After a power cut what was not synced
// is gone but for some of the writes, in any order, some of them torn.
func (m *mortal) restart(powerCut bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.steps, m.lock = 1<<40, false
	m.life++
	if !powerCut {
		return
	}
	names := maps.Clone(m.last)
	for _, i := range m.rnd.Perm(len(m.moves)) {
		if m.rnd.IntN(3) > 0 {
			m.moves[i](names)
		}
	}
	var garbage []byte
	for _, f := range m.names {
		if f != nil {
			garbage = append(garbage, f.data...)
		}
	}
	m.names, m.last, m.moves = names, maps.Clone(names), nil
	loss := 1 + m.rnd.IntN(8) // one in so many is lost
	for _, f := range names {
		if f != nil {
			m.cut(f, loss, garbage)
		}
	}
}

// cut leaves of f what a power cut leaves.
func (m *mortal) cut(f *inode, loss int, garbage []byte) {
	b := append([]byte(nil), f.last...)
	order := m.rnd.Perm(len(f.writes))
	if m.rnd.IntN(2) == 0 {
		for i := range order {
			order[i] = i
		}
	}
	for _, i := range order {
		w := f.writes[i]
		switch m.rnd.IntN(2 * loss) {
		case 0: // lost, and what was there before the file was may show
			if w.data != nil && len(garbage) > len(w.data) && m.rnd.IntN(2) == 0 {
				at := m.rnd.IntN(len(garbage) - len(w.data))
				b = write{w.off, garbage[at : at+len(w.data)]}.apply(b)
			}
		case 1: // torn
			if n := len(w.data); n > 0 {
				from := m.rnd.IntN(n)
				to := from + m.rnd.IntN(n-from) + 1
				b = write{w.off + int64(from), w.data[from:to]}.apply(b)
			}
		default:
			b = w.apply(b)
		}
	}
	f.data, f.last, f.writes = b, append([]byte(nil), b...), nil
}

// step is false when the machine dies with it.
func (m *mortal) step() bool { m.steps--; return m.steps >= 0 }

// enter begins a call; changing ones are steps.
func (m *mortal) enter(op, name string, life int, step bool) error {
	if m.gate != nil {
		m.gate(op, name)
	}
	m.mu.Lock()
	if life != m.life || m.steps < 0 {
		return errDead
	}
	if step && !m.step() {
		return errDying
	}
	if m.fail != nil {
		return m.fail(op, name)
	}
	return nil
}
