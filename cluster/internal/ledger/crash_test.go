package ledger

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"testing"
	"time"
)

var errDead = errors.New("dead")

// mortal is a file system in memory on a machine that dies after so many steps,
// in the midst of one.
type mortal struct {
	rnd   *rand.Rand
	steps int // left; below 0 it is dead
	full  bool
	files map[string]*content
}

type content struct {
	b      []byte
	synced int
}

func newMortal(seed uint64, steps int) *mortal {
	return &mortal{rnd: rand.New(rand.NewPCG(seed, uint64(steps))), steps: steps, files: map[string]*content{}}
}

// step is false when the machine dies with it, or has.
func (m *mortal) step() bool { m.steps--; return m.steps >= 0 }

// restart gives the machine that was killed another life; after a power cut what
// was not synced is gone, but for a part.
func (m *mortal) restart(powerCut bool) {
	m.steps, m.full = 1<<30, false
	for _, c := range m.files {
		if powerCut {
			c.b = c.b[:c.synced+m.rnd.IntN(len(c.b)-c.synced+1)]
		}
	}
}

func (m *mortal) Read(name string, max int64) ([]byte, error) {
	if !m.step() {
		return nil, errDead
	}
	c := m.files[name]
	if c == nil {
		return nil, fs.ErrNotExist
	}
	return append([]byte(nil), c.b[:min(int64(len(c.b)), max)]...), nil
}

func (m *mortal) Open(name string, fresh bool) (File, error) {
	if !m.step() {
		return nil, errDead
	}
	if m.files[name] == nil || fresh {
		m.files[name] = &content{}
	}
	return &mortalFile{m, m.files[name]}, nil
}

func (m *mortal) Rename(from, to string) error {
	if !m.step() {
		return errDead
	}
	m.files[to] = m.files[from]
	delete(m.files, from)
	return nil
}

func (m *mortal) SyncDir(string) error {
	if !m.step() {
		return errDead
	}
	return nil
}

type mortalFile struct {
	m *mortal
	c *content
}

func (f *mortalFile) Write(p []byte) (int, error) {
	alive := f.m.steps >= 0
	if alive && !f.m.full && f.m.step() {
		f.c.b = append(f.c.b, p...)
		return len(p), nil
	}
	n := 0
	if alive {
		n = f.m.rnd.IntN(len(p) + 1)
		f.c.b = append(f.c.b, p[:n]...)
	}
	return n, errDead
}

func (f *mortalFile) Sync() error {
	if !f.m.step() {
		return errDead
	}
	f.c.synced = len(f.c.b)
	return nil
}

func (f *mortalFile) Close() error { return nil }

const mib = 1 << 20

// life lends until the machine dies and returns what was lent for sure. Each
// loan reserves, uses a part, and settles.
func life(m *mortal, now *time.Time) (used, borrowed int64) {
	l, err := Open(Options{File: "l", Files: m, Now: func() time.Time { return *now }, Quota: Quota{Zone: time.UTC}})
	if err != nil {
		return 0, 0
	}
	for i := range 12 {
		a := l.Lend([]string{"anna", "ben"}[i%2])
		n, err := a.Reserve(mib)
		if err != nil {
			break
		}
		used += n - 1000
		if i == 5 {
			*now = now.Add(24 * time.Hour)
		}
		a.Settle(1000)
		if l.Borrowed("cleo", 77) == nil {
			borrowed += 77
		}
		if i == 8 {
			l.store.appends = appendsMax // a replacement in the midst
		}
	}
	_ = l.Close()
	return used, borrowed
}

func TestALedgerSurvivesKillAtEveryStep(t *testing.T) {
	for steps := range 80 {
		for seed := range uint64(8) {
			m := newMortal(seed, steps)
			now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
			used, borrowed := life(m, &now)
			for range 2 { // the reader's own steps may die, too
				m.restart(false)
				m.steps = m.rnd.IntN(6)
				_, _ = Open(Options{File: "l", Files: m})
			}
			m.restart(false)
			l, err := Open(Options{File: "l", Files: m})
			if err != nil || l.Damage() != nil {
				t.Fatalf("steps %d seed %d: %v %v", steps, seed, err, l.Damage())
			}
			all := Bytes{}
			for _, v := range l.Totals() {
				all = all.plus(v.Lent, v.Borrowed)
			}
			if over := all.Lent - used; over < 0 || over > mib {
				t.Errorf("steps %d seed %d: lent %d, on record %d", steps, seed, used, all.Lent)
			}
			if over := all.Borrowed - borrowed; over != 0 && over != 77 {
				t.Errorf("steps %d seed %d: borrowed %d, on record %d", steps, seed, borrowed, all.Borrowed)
			}
		}
	}
}

func TestALedgerIsReadableAfterAPowerCut(t *testing.T) {
	for steps := range 80 {
		m := newMortal(3, steps)
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		_, _ = life(m, &now)
		m.restart(true)
		if l, err := Open(Options{File: "l", Files: m}); err != nil || l.Damage() != nil {
			t.Fatalf("steps %d: %v %v", steps, err, l.Damage())
		}
	}
}

// A full disk stops lending, costs no quota, and is got over.
func TestAFullDiskGrantsNothing(t *testing.T) {
	m := newMortal(1, 1<<30)
	l, err := Open(Options{File: "l", Files: m, Quota: Quota{Bytes: 10 * mib}})
	if err != nil {
		t.Fatal(err)
	}
	m.full = true
	for range 30 {
		if n, err := l.Lend("anna").Reserve(mib); n != 0 || err == nil {
			t.Fatal(n, err)
		}
	}
	m.full = false
	if l.Left() != 10*mib {
		t.Error("left", l.Left())
	}
	if n, err := l.Lend("anna").Reserve(mib); n != mib || err != nil {
		t.Error(n, err)
	}
	if again, err := Open(Options{File: "l", Files: m, Quota: Quota{Bytes: 10 * mib}}); err != nil || again.Left() != 9*mib {
		t.Error(err, again.Left())
	}
}
