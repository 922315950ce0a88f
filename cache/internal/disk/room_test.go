package disk

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A full disk takes what is worth more in the place of what is worth less.
func TestAFullDiskEvictsFirst(t *testing.T) {
	m, o := newMortal(1), small()
	o.FS = m.mount
	s := openStore(t, "sim", o)
	for n := range uint64(5) {
		put(t, s, key(n), 1, 1000)
	}
	m.set(func(op, name string) error { // the lock is held: five files are all it takes
		n := 0
		for name, f := range m.names {
			if strings.Contains(name, "/") && f != nil {
				n++
			}
		}
		if op == "write" && n > 5 {
			return errFull
		}
		return nil
	})
	for n := range uint64(5) {
		id := put(t, s, key(10+n), 1, 1000)
		e, ok := s.Get(id)
		if !ok {
			t.Fatal("not stored")
		}
		wantContent(t, e, content(1, 1000))
		e.Release()
	}
	if st := s.Stats(); st.Evicted == 0 || st.Off != "" {
		t.Errorf("%+v", st)
	}
}

// A journal of which a full disk took only a part is written anew.
func TestAFullDiskInTheMidstOfAJournal(t *testing.T) {
	m, o := newMortal(1), small()
	o.FS = m.mount
	s := openStore(t, "sim", o)
	id := put(t, s, key(1), 1, 3000)
	e, _ := s.Get(id)
	for n := range uint64(150) {
		put(t, s, key(2+n), 1, 1000) // to be evicted
	}
	last := ""
	for n := range 25 {
		failed := false
		m.set(func(op, name string) error { // the first write of each turn
			if op == "write" && name == id.name() && !failed {
				failed = true
				return errFull
			}
			return nil
		})
		last = fmt.Sprint("meta ", n)
		if err := e.SetMeta([]byte(last)); err != nil {
			t.Fatal(err)
		}
		flush(t, s)
	}
	e.Release()
	s.Close()
	m.set(nil)
	s = openStore(t, "sim", o)
	e = get(t, s, id)
	if string(e.Meta()) != last {
		t.Errorf("meta %q", e.Meta())
	}
	wantContent(t, e, content(1, 3000))
}

// What shall stay free stays free. On a file system that frees later, not all is
// evicted meanwhile.
func TestTheReserveIsKept(t *testing.T) {
	for _, lag := range []bool{false, true} {
		m, o := newMortal(1), small()
		o.FS, o.Reserve, m.lag = m.mount, 100<<10, lag
		s := openStore(t, "sim", o)
		for n := range uint64(5) {
			put(t, s, key(n), 1, 10000)
		}
		m.mu.Lock()
		m.free = 100 << 10
		m.mu.Unlock()
		e, err := s.Create(key(9), nil, 10000)
		if err != nil {
			t.Fatal(err)
		}
		fill(e, content(1, 10000), 0)
		flush(t, s)
		st := s.Stats()
		if st.Off != "" || st.Memory != 0 || e.Complete() == lag || st.Refused > 0 != lag {
			t.Errorf("lag %v: %+v", lag, st)
		}
		if free, _, _ := s.on().fs.Free(); st.Evicted > 3 || lag && st.Evicted != 1 || free < o.Reserve-10*indexLen {
			t.Errorf("lag %v: %d free, %+v", lag, free, st)
		}
		e.Release()
	}
}

// Of a disk that others have filled, the cache takes nothing, and says so once.
func TestANearlyFullDiskIsToldOnce(t *testing.T) {
	m, o := newMortal(1), small()
	now, log := time.Unix(1e9, 0), logged(&o)
	o.FS, o.Reserve, o.Now = m.mount, 100<<10, func() time.Time { return now }
	s := openStore(t, "sim", o)
	m.mu.Lock()
	m.free = 50 << 10
	m.mu.Unlock()
	for n := range uint64(5) {
		put(t, s, key(n), 1, 1000)
	}
	if st := s.Stats(); st.Refused < 5 || st.Off != "" {
		t.Errorf("%+v", st)
	}
	if got := log.take(); len(got) != 1 || !strings.Contains(got[0], "nearly full") || !strings.Contains(got[0], "free=51") {
		t.Errorf("log: %q", got)
	}
}

func TestReserveByDefault(t *testing.T) {
	for _, c := range []struct{ want, disk, reserve int64 }{
		{0, 10 << 30, 10 << 30 / 20}, {0, 1 << 40, 1 << 30}, {5, 1 << 40, 5},
	} {
		if got := reserve(c.want, c.disk); got != c.reserve {
			t.Errorf("%+v: %d", c, got)
		}
	}
	if reserve(-1, 1<<40)+1<<40 > 0 {
		t.Error("there is a reserve where none is wanted")
	}
}
