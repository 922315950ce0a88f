package disk

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A disk that does not answer holds up nobody who writes, and turns the store off.
func TestASlowDiskHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, o := newMortal(1), small()
		o.FS = m.mount
		log := logged(&o)
		s := openStore(t, "sim", o)
		defer s.Close()
		s.awaitScan()
		answer := make(chan struct{})
		m.gate = func(op, name string) {
			if op == "write" {
				<-answer
			}
		}
		n := 1000 * testBlock
		e, err := s.Create(key(1), nil, int64(n))
		if err != nil {
			t.Fatal(err)
		}
		want := content(1, n)
		fill(e, want, 0) // returns
		synctest.Wait()
		st := s.Stats()
		if st.Dropped != 1000-o.Memory/testBlock || st.Memory > o.Memory {
			t.Errorf("%+v", st)
		}
		b := make([]byte, o.Memory)
		if got, err := e.ReadAt(b, 0); got != len(b) || err != nil || !bytes.Equal(b, want[:got]) {
			t.Errorf("from memory: %d %v", got, err)
		}
		time.Sleep(slowAfter + tick)
		synctest.Wait()
		if reason, off := s.Off(); !off || !strings.Contains(reason, "slow") || len(log.take()) != 1 {
			t.Error("not off, or not said so:", reason)
		}
		time.Sleep(3 * retryAfter) // the writer still hangs
		if _, off := s.Off(); !off {
			t.Error("on while the disk hangs")
		}
		close(answer)
		time.Sleep(retryAfter + tick)
		synctest.Wait()
		if reason, off := s.Off(); off {
			t.Error("still off:", reason)
		}
		e.Release()
		if st := s.Stats(); st.Memory != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// A removed entry keeps what the writer has in hand, whatever readers find.
func TestTheWritersBuffersAreItsOwn(t *testing.T) {
	m, o := newMortal(1), small()
	o.FS = m.mount
	s := openStore(t, "sim", o)
	s.awaitScan()
	e, err := s.Create(key(1), nil, 3*testBlock)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Release()
	want := content(1, 3*testBlock)
	fill(e, want[:testBlock], 0)
	flush(t, s)
	m.mu.Lock()
	m.names[e.ID().name()].data[e.header.at(0)] ^= 1
	m.mu.Unlock()
	at, answer := make(chan struct{}, 9), make(chan struct{})
	m.gate = func(op, name string) {
		if op == "write" && strings.Contains(name, "/") {
			at <- struct{}{}
			<-answer
		}
	}
	fill(e, want[testBlock:2*testBlock], testBlock)
	<-at
	s.Remove(e.ID())
	if _, err := e.ReadAt(make([]byte, 9), 0); !errors.Is(err, ErrMissing) {
		t.Error(err)
	}
	if got := s.Stats().Memory; got != testBlock {
		t.Errorf("%d bytes in use while the writer writes them", got)
	}
	close(answer)
	flush(t, s)
	if got := s.Stats().Memory; got != 0 {
		t.Errorf("%d bytes in use in the end", got)
	}
}

// A file that is slow to open is a miss, and none the next time.
func TestLookupDoesNotWaitForASlowFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, o := newMortal(1), small()
		o.FS = m.mount
		s := openStore(t, "sim", o)
		id := put(t, s, key(1), 1, 1000)
		s.Close()
		answer := make(chan struct{})
		m.gate = func(op, name string) {
			if op == "open" && strings.Contains(name, "/") {
				<-answer
			}
		}
		s = openStore(t, "sim", o)
		defer s.Close()
		s.awaitScan()
		began := time.Now()
		if es := s.Lookup(key(1)); len(es) != 0 || time.Since(began) != lookupMax {
			t.Errorf("%d entries after %v", len(es), time.Since(began))
		}
		close(answer)
		synctest.Wait()
		e, ok := s.Get(id)
		if !ok {
			t.Fatal("gone")
		}
		e.Release()
	})
}
