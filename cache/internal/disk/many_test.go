package disk

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Readers follow fills while entries are evicted, removed and verified.
func TestManyAtOnce(t *testing.T) {
	o := small()
	o.Size, o.Memory, o.VerifyRate = 200<<10, 32<<10, 1<<30
	s := openStore(t, t.TempDir(), o)
	var all sync.WaitGroup
	for g := range uint64(6) {
		all.Go(func() { fillMany(t, s, g) })
		all.Go(func() { readMany(t, s, g) })
	}
	all.Go(func() {
		for range 10 {
			_ = s.Verify(t.Context(), func(Info, int) {})
			s.Entries(func(i Info) bool { return !s.Remove(i.ID) })
			s.Stats()
		}
	})
	all.Wait()
	flush(t, s)
	wantSum(t, s)
	if st := s.Stats(); st.Damaged > 0 || st.Evicted == 0 || st.Off != "" || st.Written == 0 {
		t.Errorf("%+v", st)
	}
}

const manySize = 30 * testBlock

func fillMany(t *testing.T, s *Store, g uint64) {
	rnd := rand.New(rand.NewPCG(g, 4))
	for range 60 {
		seed := rnd.Uint64N(12)
		e, err := s.Create(key(seed), metaOf(seed), manySize)
		if err != nil {
			t.Error(err)
			return
		}
		want := content(seed, manySize)
		var parts sync.WaitGroup
		for p := range 3 { // overlapping
			f := e.Fill()
			parts.Go(func() {
				defer f.Close()
				for at := p * 8 * testBlock; at < min(manySize, (p*8+16)*testBlock); at += 100 {
					f.WriteAt(want[at:min(manySize, at+100)], int64(at))
				}
			})
		}
		parts.Wait()
		e.Use()
		_ = e.SetMeta(metaOf(seed))
		e.Release()
	}
}

func readMany(t *testing.T, s *Store, g uint64) {
	rnd := rand.New(rand.NewPCG(g, 5))
	for range 200 {
		seed := rnd.Uint64N(12)
		want := content(seed, manySize)
		for _, e := range s.Lookup(key(seed)) {
			if !bytes.Equal(e.Meta(), metaOf(seed)) {
				t.Errorf("meta %q", e.Meta())
			}
			h := e.Handle()
			for _, r := range e.Held() {
				b := make([]byte, 1+rnd.IntN(int(r.End-r.Start)))
				n, err := e.ReadAt(b, r.Start)
				if !bytes.Equal(b[:n], want[r.Start:r.Start+int64(n)]) || err != nil && !errors.Is(err, ErrMissing) {
					t.Errorf("wrong bytes: %d %v", n, err)
				}
				if f, at, n, ok := h.File(r.Start); ok {
					b := b[:min(int64(len(b)), n)]
					if _, err := f.ReadAt(b, at); err != nil || !bytes.Equal(b, want[r.Start:r.Start+int64(len(b))]) {
						t.Errorf("wrong bytes for the kernel: %v", err)
					}
				}
			}
			h.Close()
			e.Release()
		}
	}
}

// A reader that waits for growth hears of each block.
func TestGrowth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := small()
		o.FS = newMortal(1).mount
		s := openStore(t, "sim", o)
		defer s.Close()
		want := content(1, 5000)
		e, err := s.Create(key(1), nil, 5000)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Release()
		var got []byte
		go func() {
			for len(got) < len(want) {
				_, grown := e.Growth()
				b := make([]byte, 5000)
				n, err := e.ReadAt(b, int64(len(got)))
				got = append(got, b[:n]...)
				if errors.Is(err, ErrMissing) {
					<-grown
				}
			}
		}()
		f := e.Fill()
		defer f.Close()
		for at := 0; at < 5000; at += 100 {
			f.WriteAt(want[at:at+100], int64(at))
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes", len(got))
		}
	})
}

// Parts whose rest never comes do not keep others out.
func TestStalePartsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := small()
		o.FS = newMortal(1).mount
		s := openStore(t, "sim", o)
		defer s.Close()
		e, err := s.Create(key(1), nil, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Release()
		f := e.Fill()
		defer f.Close()
		for at := int64(0); at < 1<<20; at += testBlock {
			f.WriteAt(make([]byte, 10), at)
		}
		if st := s.Stats(); st.Memory != o.Memory || st.Dropped == 0 {
			t.Errorf("%+v", st)
		}
		time.Sleep(staleAfter + 2*tick)
		synctest.Wait()
		if st := s.Stats(); st.Memory != 0 {
			t.Errorf("%+v", st)
		}
		put(t, s, key(2), 1, 5000)
		if st := s.Stats(); st.Written != 20 {
			t.Errorf("%+v", st)
		}
	})
}

// A block that was packed and is fetched again lies raw in its place: a reader may
// still have been told that raw bytes are there.
func TestARenewedBlockIsRaw(t *testing.T) {
	m, o := newMortal(1), small()
	o.FS = m.mount
	s := openStore(t, "sim", o)
	e := get(t, s, put(t, s, key(1), 2, 4*testBlock))
	if !e.table.get(1).has(packed) {
		t.Fatal("not packed")
	}
	m.names[e.ID().name()].data[e.header.at(1)] ^= 1
	bad := 0
	if err := s.Verify(t.Context(), func(_ Info, n int) { bad += n }); err != nil || bad != 1 {
		t.Error(bad, err)
	}
	fill(e, content(2, 4*testBlock), 0)
	flush(t, s)
	if c := e.table.get(1); c.has(packed) || !c.has(held) {
		t.Errorf("%+v", c)
	}
	wantContent(t, e, content(2, 4*testBlock))
}

// Verify keeps to its rate, and to its context.
func TestVerifyIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := small()
		o.FS, o.VerifyRate = newMortal(1).mount, 1000
		s := openStore(t, "sim", o)
		defer s.Close()
		put(t, s, key(1), 1, 10*testBlock)
		began := time.Now()
		if err := s.Verify(t.Context(), func(Info, int) {}); err != nil || time.Since(began) < 2500*time.Millisecond {
			t.Error(err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Verify(ctx, func(Info, int) {}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
