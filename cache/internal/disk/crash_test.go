package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// history is what was ever put into a store, over all lives.
type history struct {
	rnd     *rand.Rand
	seed    map[ID]uint64
	metas   map[ID][]string
	removed map[ID]bool // and known to be, by a Flush; true: by a Sync
	ids     []ID

	right, missing int // bytes and blocks read, of those that a store said it holds
}

func newHistory(seed uint64) *history {
	return &history{
		rnd: rand.New(rand.NewPCG(seed, 1)), seed: map[ID]uint64{}, metas: map[ID][]string{}, removed: map[ID]bool{},
	}
}

// live uses s until its machine dies, or for a while.
func (h *history) live(t *testing.T, s *Store) {
	for range 30 {
		e := h.pick(s)
		if e == nil {
			continue
		}
		for range h.rnd.IntN(6) {
			h.act(t, s, e)
		}
		e.Release()
		if _, off := s.Off(); off {
			return
		}
	}
}

// pick is an old entry or a new one.
func (h *history) pick(s *Store) *Entry {
	if len(h.ids) > 0 && h.rnd.IntN(3) > 0 {
		e, _ := s.Get(h.ids[h.rnd.IntN(len(h.ids))])
		return e
	}
	seed := h.rnd.Uint64N(1000)
	meta := fmt.Sprint("first of ", seed)
	e, err := s.Create(key(seed%5), []byte(meta), int64(sizeOf(seed)))
	if err != nil {
		return nil
	}
	h.ids = append(h.ids, e.ID())
	h.seed[e.ID()], h.metas[e.ID()] = seed, []string{meta}
	return e
}

func sizeOf(seed uint64) int { return int(seed*seed%97) * 53 }

func (h *history) act(t *testing.T, s *Store, e *Entry) {
	id := e.ID()
	want := content(h.seed[id], sizeOf(h.seed[id]))
	switch n := h.rnd.IntN(20); {
	case n < 9:
		f := e.Fill()
		for range h.rnd.IntN(8) {
			if at := h.rnd.IntN(len(want) + 1); at < len(want) {
				f.WriteAt(want[at:min(len(want), at+1+h.rnd.IntN(1500))], int64(at))
			}
		}
		f.Close()
	case n < 11:
		meta := fmt.Sprint("meta ", h.rnd.IntN(1000), string(bytes.Repeat([]byte("x"), h.rnd.IntN(300))))
		h.metas[id] = append(h.metas[id], meta)
		_ = e.SetMeta([]byte(meta))
	case n < 13:
		if !s.Remove(id) {
			break
		}
		sync, settle := h.rnd.IntN(2) == 0, s.Flush
		if sync {
			settle = s.Sync
		}
		if settle() == nil {
			h.removed[id] = sync
		}
	case n < 16:
		_ = s.Flush() // an error is the end of this life
	default:
		h.check(t, e)
	}
}

// check reads all that e holds. A block may turn out to be missing, never wrong.
func (h *history) check(t *testing.T, e *Entry) {
	id := e.ID()
	seed, known := h.seed[id]
	if !known || e.Total() != int64(sizeOf(seed)) || e.Key() != key(seed%5) || !slices.Contains(h.metas[id], string(e.Meta())) {
		t.Fatalf("not what was put: %v, total %d, meta %q", id, e.Total(), e.Meta())
	}
	want := content(seed, sizeOf(seed))
	for _, r := range e.Held() {
		for at := r.Start; at < r.End; {
			b := make([]byte, min(r.End-at, 1+h.rnd.Int64N(700)))
			n, err := e.ReadAt(b, at)
			if !bytes.Equal(b[:n], want[at:at+int64(n)]) {
				t.Fatalf("wrong bytes in %d to %d of seed %d", at, at+int64(n), seed)
			}
			at += int64(n)
			h.right += n
			if errors.Is(err, ErrMissing) {
				h.missing++
				at = (at/testBlock + 1) * testBlock
			} else if err != nil && !e.Removed() {
				t.Fatal(err)
			}
		}
	}
}

// inspect opens the store as the crash left it, and checks that all of it is true
// and that it is still good for use.
func (h *history) inspect(t *testing.T, m *mortal, powerCut bool) {
	o := small()
	o.FS = m.mount
	s := openStore(t, "sim", o)
	if reason, off := s.Off(); off {
		t.Fatal("off after restart:", reason)
	}
	s.awaitScan()
	if powerCut { // which may undo it, see the package comment
		maps.DeleteFunc(h.removed, func(_ ID, sync bool) bool { return !sync })
	}
	s.Entries(func(i Info) bool {
		if e, ok := s.Get(i.ID); ok {
			h.check(t, e)
			e.Release()
		}
		if _, gone := h.removed[i.ID]; gone {
			t.Error("back after its removal:", i.ID)
		}
		return true
	})
	seed := 1 + 2*h.rnd.Uint64N(400)
	want := content(seed, 2000)
	e, err := s.Create(key(77), []byte("after"), 2000)
	if err != nil {
		t.Fatal(err)
	}
	fill(e, want, 0)
	flush(t, s)
	wantContent(t, e, want)
	id := e.ID()
	e.Release()
	s.Close()
	s = openStore(t, "sim", o)
	e, ok := s.Get(id)
	if !ok {
		t.Fatal("gone after an orderly end")
	}
	wantContent(t, e, want)
	e.Release()
	s.Remove(id)
	s.Close()
}

// awaitScan returns when the scan is over, and what it found is done.
func (s *Store) awaitScan() {
	v := s.on()
	for v != nil && !v.stopped() {
		v.mu.Lock()
		over := v.scan.over
		v.mu.Unlock()
		if over {
			break
		}
		_ = s.Flush() // waits for the writer
	}
	_ = s.Flush()
}

// Each seed is a disk with several lives; each life ends at a random step, by a
// kill or by a power cut.
func TestNoCrashServesAWrongByte(t *testing.T) {
	kills, right, missing := 0, 0, 0
	for seed := range uint64(80) {
		m, h := newMortal(seed), newHistory(seed)
		for life := range 4 {
			m.steps = h.rnd.IntN(40 << h.rnd.IntN(4))
			o := small()
			o.FS = m.mount
			s, err := Open("sim", o)
			if err != nil {
				t.Fatalf("seed %d life %d: %v", seed, life, err)
			}
			h.live(t, s)
			if h.rnd.IntN(4) > 0 {
				m.kill()
			}
			s.Close()
			powerCut := h.rnd.IntN(3) > 0
			m.restart(powerCut)
			h.inspect(t, m, powerCut)
			kills++
			if t.Failed() {
				t.Fatalf("seed %d life %d", seed, life)
			}
		}
		right, missing = right+h.right, missing+h.missing
	}
	t.Logf("%d kills, %d bytes right, %d blocks damaged at first read", kills, right, missing)
	if kills < 200 || right == 0 || missing == 0 {
		t.Error("it tests nothing")
	}
}

// kill ends the machine now.
func (m *mortal) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.steps = -1
}

// The simulator itself: what is synced outlives a power cut, what is not does so
// only sometimes, and never by magic.
func TestTheSimulatorLosesAndTears(t *testing.T) {
	lost, torn, kept, nameless := 0, 0, 0, 0
	for seed := range uint64(200) {
		m := newMortal(seed)
		d, _ := m.mount("")
		f, _ := d.Open("f", os.O_CREATE|os.O_EXCL)
		f.WriteAt([]byte("synced"), 0)
		f.Sync()
		if seed%2 == 0 {
			d.SyncDir()
		}
		f.WriteAt([]byte("LATER-"), 6)
		m.restart(true)
		if _, err := f.Size(); !errors.Is(err, errDead) {
			t.Fatal("a file outlived its machine")
		}
		d, _ = m.mount("")
		f, err := d.Open("f", 0)
		if errors.Is(err, fs.ErrNotExist) && seed%2 == 1 {
			nameless++
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 12)
		n, _ := f.ReadAt(b, 0)
		switch got := string(b[:n]); {
		case got == "syncedLATER-":
			kept++
		case got == "synced":
			lost++
		case got[:6] == "synced":
			torn++
		default:
			t.Fatalf("synced bytes are gone: %q", got)
		}
	}
	if lost == 0 || torn == 0 || kept == 0 || nameless == 0 {
		t.Error(lost, torn, kept, nameless)
	}
}
