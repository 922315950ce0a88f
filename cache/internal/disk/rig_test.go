package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// testBlock is a small block: small ones find the big bugs.
const testBlock = 256

// TestMain fails if a goroutine of a store outlives it.
func TestMain(m *testing.M) {
	code := m.Run()
	left := leaked()
	for deadline := time.Now().Add(5 * time.Second); left != "" && time.Now().Before(deadline); left = leaked() {
		runtime.Gosched()
	}
	if left != "" && code == 0 {
		fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

func leaked() string {
	buf := make([]byte, 1<<20)
	var left []string
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "disk.(*") {
			left = append(left, g)
		}
	}
	return strings.Join(left, "\n\n")
}

// small are options for small blocks.
func small() Options {
	return Options{Size: 1 << 20, Reserve: -1, Memory: 64 << 10, BlockSize: testBlock}
}

func openStore(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func key(n uint64) (k Key) {
	binary.BigEndian.PutUint64(k[:], n*0x9e3779b97f4a7c15)
	return k
}

// content is what a resource of this seed is made of: even seeds pay to pack.
func content(seed uint64, n int) []byte {
	b := make([]byte, 0, n+8)
	x := seed*0x9e3779b97f4a7c15 + 1
	for i := 0; len(b) < n; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		if seed%2 == 0 {
			b = fmt.Appendf(b, "line %d of text; ", x%5)
			continue
		}
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return b[:n]
}

// put makes an entry with all of its content in the file.
func put(t testing.TB, s *Store, k Key, seed uint64, n int) ID {
	t.Helper()
	e, err := s.Create(k, metaOf(seed), int64(n))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Release()
	fill(e, content(seed, n), 0)
	flush(t, s)
	return e.ID()
}

func metaOf(seed uint64) []byte { return fmt.Appendf(nil, "meta %d", seed) }

func fill(e *Entry, b []byte, off int64) {
	f := e.Fill()
	f.WriteAt(b, off)
	f.Close()
}

func flush(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
}

// get is the entry of id, released at the test's end.
func get(t testing.TB, s *Store, id ID) *Entry {
	t.Helper()
	e, ok := s.Get(id)
	if !ok {
		t.Fatalf("entry %v is gone", id)
	}
	t.Cleanup(e.Release)
	return e
}

func wantContent(t testing.TB, e *Entry, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := e.ReadAt(got, 0); n != len(want) || err != nil {
		t.Fatalf("read %d of %d bytes: %v", n, len(want), err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("other bytes than were written")
	}
}
