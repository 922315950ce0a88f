package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// blind is a directory of which nobody sees the entries until gate is closed.
type blind struct {
	FS
	gate chan struct{}
}

func (b blind) Names(dir string) ([]string, error) {
	<-b.gate
	return nil, errors.New("blind")
}

func TestOpenManyEntries(t *testing.T) {
	const n = 100_000
	dir, now := t.TempDir(), time.Now()
	log := appendHead(nil)
	for i := range uint64(n) {
		it := item{key: key(i), total: 1 << 20, stored: 1<<20 + 8192, created: now.UnixNano(), cost: 1, heat: coldest}
		copy(it.id[:], it.key[:])
		it.use(now)
		it.set(itemSettled, true)
		log = appendPut(log, &it)
		if i%2 == 0 { // used since
			it.use(now)
			log = appendPut(log, &it)
		}
	}
	writeFile(t, filepath.Join(dir, indexName), log)
	gate := make(chan struct{})
	o := Options{Size: 1 << 40, FS: func(path string) (FS, error) {
		fs, err := openDir(path)
		return blind{fs, gate}, err
	}}
	was, began := heapInUse(), time.Now()
	s := openStore(t, dir, o)
	took := time.Since(began)
	each := (heapInUse() - was) / n
	t.Logf("%d entries opened in %v, %d bytes of memory each; %.0f bytes of index log per record", n, took, each, float64(indexLen))
	if st := s.Stats(); st.Entries != n || st.Bytes != n*(1<<20+8192) || each > 220 {
		t.Errorf("%d bytes each, %+v", each, st)
	}
	began = time.Now()
	v := s.on()
	v.mu.Lock()
	its, ok := v.cheapestLocked(10<<30, 0, nil)
	v.mu.Unlock()
	t.Logf("%d chosen for eviction in %v", len(its), time.Since(began))
	if !ok {
		t.Error("nothing to evict")
	}
	close(gate)
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Uses are kept over a restart, and written once a minute at most.
func TestUsesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, o := newMortal(1), small()
		o.FS = m.mount
		s := openStore(t, "sim", o)
		e, _ := s.Get(put(t, s, key(1), 1, 1000))
		size := func() int {
			flush(t, s)
			m.mu.Lock()
			defer m.mu.Unlock()
			return len(m.names[indexName].data)
		}
		time.Sleep(settleAfter + tick)
		was := size()
		for range 1000 {
			e.Use()
		}
		if got := size(); got != was {
			t.Errorf("%d bytes written for uses", got-was)
		}
		time.Sleep(settleAfter + tick)
		if got := size(); got != was+indexLen {
			t.Errorf("%d bytes written after a minute", got-was)
		}
		e.SetCost(3)
		e.Use()
		want := e.Info()
		e.Release()
		s.Close()
		s = openStore(t, "sim", o)
		defer s.Close()
		s.Entries(func(i Info) bool {
			want.InUse = false
			if i != want {
				t.Errorf("%+v, want %+v", i, want)
			}
			return true
		})
	})
}

// The log does not grow with what has happened, only with what there is.
func TestTheIndexLogIsCompacted(t *testing.T) {
	m, o := newMortal(1), small()
	o.FS = m.mount
	s := openStore(t, "sim", o)
	keep := put(t, s, key(1), 1, 1000)
	for n := range uint64(3000) {
		s.Remove(put(t, s, key(2), n, 100))
	}
	flush(t, s)
	if got := len(m.names[indexName].data); got > (2*2+slackRecords+2)*indexLen {
		t.Errorf("%d records", got/indexLen)
	}
	s.Close()
	s = openStore(t, "sim", o)
	s.awaitScan()
	if st := s.Stats(); st.Entries != 1 {
		t.Errorf("%+v", st)
	}
	wantContent(t, get(t, s, keep), content(1, 1000))
}

// What was being written when the process was killed gets its true size.
func TestSizesAreCorrectedAfterAKill(t *testing.T) {
	m, o := newMortal(1), small()
	o.FS = m.mount
	s := openStore(t, "sim", o)
	e, err := s.Create(key(1), nil, 100*testBlock)
	if err != nil {
		t.Fatal(err)
	}
	fill(e, content(1, testBlock), 0)
	flush(t, s)
	fill(e, content(1, 100*testBlock), 0)
	flush(t, s)
	want := s.Stats().Bytes
	m.kill()
	e.Release()
	s.Close()
	m.restart(false)
	gate := make(chan struct{})
	m.gate = func(op, _ string) {
		if op == "names" {
			<-gate
		}
	}
	s = openStore(t, "sim", o)
	before := s.Stats().Bytes
	close(gate)
	s.awaitSizes(want)
	if got := s.Stats().Bytes; got != want || before == want {
		t.Errorf("%d, then %d, want %d", before, got, want)
	}
}

// awaitSizes waits for the scan's second half, which has no end that shows.
func (s *Store) awaitSizes(want int64) {
	s.awaitScan()
	for range 10_000 {
		if s.Stats().Bytes == want {
			return
		}
		_ = s.Flush()
	}
}

// What is removed while the scan has not yet met it stays removed.
func TestRemovalDuringTheScan(t *testing.T) {
	for name, remove := range map[string]func(s *Store){
		"purge": func(s *Store) { s.Purge() },
		"key":   func(s *Store) { s.RemoveKey(key(1)) },
	} {
		m, o := newMortal(1), small()
		o.FS = m.mount
		s := openStore(t, "sim", o)
		put(t, s, key(1), 1, 1000)
		s.Close()
		delete(m.names, indexName)
		gate := make(chan struct{})
		m.gate = func(op, _ string) {
			if op == "names" {
				<-gate
			}
		}
		s = openStore(t, "sim", o)
		remove(s)
		close(gate)
		s.awaitScan()
		if st := s.Stats(); st.Entries != 0 {
			t.Errorf("%s: %+v", name, st)
		}
		s.Close()
		for name := range m.names {
			if strings.Contains(name, "/") {
				t.Error("left:", name)
			}
		}
	}
}

// TestAnotherProcess is also the other process, if it is told a directory.
func TestAnotherProcess(t *testing.T) {
	const told = "DISK_TEST_OPEN"
	if dir := os.Getenv(told); dir != "" {
		s, err := Open(dir, small())
		fmt.Println("opened:", err == nil, "in use:", errors.Is(err, ErrInUse))
		if err == nil {
			s.Close()
		}
		return
	}
	dir := t.TempDir()
	s := openStore(t, dir, small())
	other := func() string {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAnotherProcess$")
		cmd.Env = append(os.Environ(), told+"="+dir)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(bytes.SplitAfter(out, []byte("\n"))[0])
	}
	if got := other(); got != "opened: false in use: true\n" {
		t.Errorf("%q", got)
	}
	s.Close()
	if got := other(); got != "opened: true in use: false\n" {
		t.Errorf("%q", got)
	}
}
