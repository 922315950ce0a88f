package disk

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// modelEntry is what an entry must be like.
type modelEntry struct {
	seed  uint64
	meta  string
	bytes []bool // come in this fill, or held
}

// held are the blocks that are whole.
func (m *modelEntry) held() (blocks []uint32) {
	for i := 0; i*testBlock < len(m.bytes); i++ {
		if !slices.Contains(m.bytes[i*testBlock:min(len(m.bytes), (i+1)*testBlock)], false) {
			blocks = append(blocks, uint32(i))
		}
	}
	return blocks
}

// settle forgets what is not whole.
func (m *modelEntry) settle() {
	was := m.held()
	clear(m.bytes)
	for _, i := range was {
		for at := int(i) * testBlock; at < min(len(m.bytes), int(i+1)*testBlock); at++ {
			m.bytes[at] = true
		}
	}
}

type model struct {
	rnd *rand.Rand
	m   *mortal
	of  map[ID]*modelEntry
}

// Without crashes a store is exactly like a map, over restarts and with blocks
// that go bad.
func TestAStoreIsLikeAMap(t *testing.T) {
	for seed := range uint64(6) {
		m := &model{rand.New(rand.NewPCG(seed, 3)), newMortal(seed), map[ID]*modelEntry{}}
		for range 6 {
			o := small()
			o.FS, o.Size, o.Memory = m.m.mount, 1<<30, 1<<20
			s := openStore(t, "sim", o)
			for range 60 {
				m.act(t, s)
			}
			flush(t, s)
			m.compare(t, s)
			s.Close()
		}
	}
}

func (m *model) act(t *testing.T, s *Store) {
	if len(m.of) < 3 || m.rnd.IntN(10) == 0 {
		m.create(t, s)
		return
	}
	ids := slices.SortedFunc(maps.Keys(m.of), func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
	id := ids[m.rnd.IntN(len(ids))]
	w := m.of[id]
	e, ok := s.Get(id)
	if !ok {
		t.Fatal("gone")
	}
	defer e.Release()
	switch m.rnd.IntN(10) {
	case 0:
		w.meta = fmt.Sprint("meta ", m.rnd.Int())
		if err := e.SetMeta([]byte(w.meta)); err != nil {
			t.Fatal(err)
		}
	case 1:
		if m.rnd.IntN(3) == 0 && s.Remove(id) {
			delete(m.of, id)
		}
	case 2:
		m.damage(t, s, e, w)
	default:
		f := e.Fill()
		b := content(w.seed, len(w.bytes))
		for range m.rnd.IntN(12) {
			at := m.rnd.IntN(len(b))
			end := min(len(b), at+1+m.rnd.IntN(900))
			f.WriteAt(b[at:end], int64(at))
			for ; at < end; at++ {
				w.bytes[at] = true
			}
		}
		f.Close()
		w.settle()
	}
}

func (m *model) create(t *testing.T, s *Store) {
	seed := m.rnd.Uint64N(100)
	e, err := s.Create(key(seed), []byte("first"), int64(1+m.rnd.IntN(6000)))
	if err != nil {
		t.Fatal(err)
	}
	fill(e, content(seed, int(e.Total()))[:min(testBlock, e.Total())], 0)
	w := &modelEntry{seed: seed, meta: "first", bytes: make([]bool, e.Total())}
	for at := range min(testBlock, len(w.bytes)) {
		w.bytes[at] = true
	}
	m.of[e.ID()] = w
	e.Release()
}

// damage flips a bit of a block; Verify finds it, also if it was read before.
func (m *model) damage(t *testing.T, s *Store, e *Entry, w *modelEntry) {
	flush(t, s)
	blocks := w.held()
	i := blocks[m.rnd.IntN(len(blocks))]
	if m.rnd.IntN(2) == 0 {
		e.ReadAt(make([]byte, 1), int64(i)*testBlock)
	}
	m.m.mu.Lock()
	m.m.names[e.ID().name()].data[e.header.at(i)] ^= 4
	m.m.mu.Unlock()
	bad, err := e.verify(context.Background(), &pace{rate: 1 << 40})
	if bad != 1 || err != nil || e.Has(int64(i)*testBlock) {
		t.Fatalf("%d bad, %v", bad, err)
	}
	for at := int(i) * testBlock; at < min(len(w.bytes), int(i+1)*testBlock); at++ {
		w.bytes[at] = false
	}
	if len(blocks) == 1 { // keep one
		b := content(w.seed, len(w.bytes))
		fill(e, b[:min(len(b), testBlock)], 0)
		clear(w.bytes)
		for at := range min(len(b), testBlock) {
			w.bytes[at] = true
		}
	}
}

func (m *model) compare(t *testing.T, s *Store) {
	t.Helper()
	if st := s.Stats(); st.Entries != len(m.of) || st.Dropped+st.Refused+st.Evicted > 0 || st.Memory != 0 {
		t.Fatalf("%d entries, %+v", len(m.of), st)
	}
	for id, w := range m.of {
		e, ok := s.Get(id)
		if !ok {
			t.Fatal("gone:", id)
		}
		if string(e.Meta()) != w.meta || !slices.Equal(e.Held(), runs(e.header, w.held())) {
			t.Fatalf("%q holds %v, want %q %v", e.Meta(), e.Held(), w.meta, runs(e.header, w.held()))
		}
		want := content(w.seed, len(w.bytes))
		for _, r := range e.Held() {
			b := make([]byte, r.End-r.Start)
			if n, err := e.ReadAt(b, r.Start); n != len(b) || err != nil || !bytes.Equal(b, want[r.Start:r.End]) {
				t.Fatalf("run %v: %d %v", r, n, err)
			}
		}
		e.Release()
	}
}
