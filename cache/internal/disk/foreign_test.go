package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// damages are what may have happened to the file of an entry while nobody looked.
var damages = []struct {
	name string
	do   func(b, other []byte) []byte
	gone bool // no entry of ours any more
}{
	{"empty", func(b, _ []byte) []byte { return nil }, true},
	{"cut in the header", func(b, _ []byte) []byte { return b[:50] }, true},
	{"cut in the data", func(b, _ []byte) []byte { return b[:headerSize+700] }, true},
	{"cut before the journal", func(b, _ []byte) []byte { return b[:headerSize+2000] }, true},
	{"cut in the meta", func(b, _ []byte) []byte { return b[:headerSize+2000+recordLen+2] }, true},
	{"cut in the first block's record", func(b, _ []byte) []byte { return b[:headerSize+2000+recordLen+6+9] }, false},
	{"longer", func(b, _ []byte) []byte { return append(b, bytes.Repeat([]byte("x"), 5000)...) }, false},
	{"zeros", func(b, _ []byte) []byte { return make([]byte, len(b)) }, true},
	{"zeros in the data", func(b, _ []byte) []byte { clear(b[headerSize : headerSize+2000]); return b }, false},
	{"zeros in the journal", func(b, _ []byte) []byte { clear(b[headerSize+2000:]); return b }, true},
	{"another's content", func(_, other []byte) []byte { return other }, true},
	{"another's data", func(b, other []byte) []byte { copy(b[headerSize:headerSize+2000], other[headerSize:]); return b }, false},
	{"another's journal", func(b, other []byte) []byte { return append(b[:headerSize+2000], other[headerSize+2000:]...) }, true},
	{"another's header", func(b, other []byte) []byte { copy(b[:headerSize], other); return b }, true},
	{"of the future", func(b, _ []byte) []byte { return resealed(b, 8, entryVersion+1) }, true},
	{"of another block size", func(b, _ []byte) []byte { return resealed(b, 12, 512) }, true},
	{"of another total", func(b, _ []byte) []byte { return resealed(b, 16, 1999) }, true},
	{"a picture", func(b, _ []byte) []byte { return bytes.Repeat([]byte("\x89PNG"), 3000) }, true},
}

// resealed has another number at off, and a valid checksum.
func resealed(b []byte, off int, n uint32) []byte {
	binary.LittleEndian.PutUint32(b[off:], n)
	binary.LittleEndian.PutUint64(b[88:], xxhash.Sum64(b[:88]))
	return b
}

func TestDamagedFiles(t *testing.T) {
	for _, d := range damages {
		for _, index := range []bool{true, false} { // by lookup, by scan
			dir := t.TempDir()
			s := openStore(t, dir, small())
			id, other := put(t, s, key(1), 1, 2000), put(t, s, key(2), 3, 2000)
			s.Close()
			file := filepath.Join(dir, id.name())
			b, _ := os.ReadFile(file)
			o, _ := os.ReadFile(filepath.Join(dir, other.name()))
			writeFile(t, file, d.do(b, o))
			if !index {
				os.Remove(filepath.Join(dir, indexName))
			}
			s = openStore(t, dir, small())
			if !index {
				s.awaitScan()
			}
			found := s.Lookup(key(1))
			if gone := len(found) == 0; gone != d.gone {
				t.Errorf("%s, index %v: gone: %v", d.name, index, gone)
			}
			for _, e := range found {
				wantTrue(t, d.name, e, content(1, 2000))
				fill(e, content(1, 2000), 0) // what is missing comes again
				flush(t, s)
				wantContent(t, e, content(1, 2000))
				e.Release()
			}
			s.awaitScan()
			if _, err := os.Stat(file); d.gone != errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s, index %v: file: %v", d.name, index, err)
			}
			wantContent(t, get(t, s, other), content(3, 2000))
			s.Close()
		}
	}
}

func writeFile(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantTrue reads block by block: what is read at all is right.
func wantTrue(t *testing.T, name string, e *Entry, want []byte) {
	t.Helper()
	for at := 0; at < len(want); at += testBlock {
		b := make([]byte, min(testBlock, len(want)-at))
		n, err := e.ReadAt(b, int64(at))
		if !bytes.Equal(b[:n], want[at:at+n]) || n < len(b) && !errors.Is(err, ErrMissing) {
			t.Errorf("%s: at %d: %d bytes, %v", name, at, n, err)
		}
	}
}

// Each bit of a file is either not needed, or its change is noticed.
func TestEveryFlippedBit(t *testing.T) {
	m, o := newMortal(1), small()
	o.FS = m.mount
	s := openStore(t, "sim", o)
	id := put(t, s, key(1), 2, 700)
	s.Close()
	f := m.names[id.name()]
	was := slices.Clone(f.data)
	for at := 0; at < len(was); at++ {
		if at == headerLen {
			at = headerSize // between is nothing
		}
		f.data = slices.Clone(was)
		f.data[at] ^= 1 << (at % 8)
		s := openStore(t, "sim", o)
		for _, e := range s.Lookup(key(1)) {
			if string(e.Meta()) != string(metaOf(2)) {
				t.Fatalf("byte %d: meta %q", at, e.Meta())
			}
			wantTrue(t, "flipped", e, content(2, 700))
			e.Release()
		}
		s.Close()
		m.names[id.name()] = f // it may have been removed
	}
}

// A record that was lost is written again, just as it was, and what stood behind
// it still stands there, as cutting it off was lost: it is not believed again.
func TestWhatStandsBehindALostRecord(t *testing.T) {
	m, o := newMortal(1), small()
	o.FS = m.mount
	want := content(1, 3*testBlock)
	s := openStore(t, "sim", o)
	e, err := s.Create(key(1), []byte("first"), int64(len(want)))
	if err != nil {
		t.Fatal(err)
	}
	fill(e, want[:testBlock], 0)
	flush(t, s)
	lost := e.header.journal() + e.journal.end // where the next record goes
	fill(e, want[:2*testBlock], 0)
	flush(t, s)
	if err := e.SetMeta([]byte("other")); err != nil {
		t.Fatal(err)
	}
	e.Release()
	s.Close()
	f := m.names[e.ID().name()]
	was := slices.Clone(f.data)

	f.data[lost] ^= 1
	s = openStore(t, "sim", o)
	e = get(t, s, e.ID())
	if e.Has(testBlock) || string(e.Meta()) != "first" {
		t.Errorf("%v %q", e.Held(), e.Meta())
	}
	fill(e, want[:2*testBlock], 0)
	flush(t, s)
	s.Close()
	f.data = append(f.data, was[len(f.data):]...)
	s = openStore(t, "sim", o)
	e = get(t, s, e.ID())
	if !e.Has(testBlock) || string(e.Meta()) != "first" {
		t.Errorf("believed again: %v %q", e.Held(), e.Meta())
	}
}

// Only names of ours are opened, and nothing outside of the directory.
func TestOtherNamesAreLeftAlone(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "precious")
	s := openStore(t, dir, small())
	id := put(t, s, key(1), 1, 2000)
	s.Close()
	b, _ := os.ReadFile(filepath.Join(dir, id.name()))
	sub := filepath.Join(dir, id.String()[:2])
	others := []string{
		filepath.Join(dir, "README"), filepath.Join(dir, id.String()), filepath.Join(sub, "notes.txt"),
		filepath.Join(sub, "zz"+id.String()[2:]), filepath.Join(sub, id.String()+"0"), filepath.Join(sub, "ff"+id.String()[2:]), outside,
	}
	for _, name := range others {
		writeFile(t, name, b)
	}
	link := ID{9}
	os.Mkdir(filepath.Join(dir, link.String()[:2]), 0o700)
	if err := os.Symlink(outside, filepath.Join(dir, link.name())); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, small())
	s.awaitScan()
	if st := s.Stats(); st.Entries != 1 {
		t.Errorf("%+v", st)
	}
	s.Purge()
	flush(t, s)
	for _, name := range others {
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%s was touched: %v", name, err)
		}
	}
}

func TestDamagedIndex(t *testing.T) {
	for name, do := range map[string]func(b []byte) []byte{
		"missing":         nil,
		"empty":           func(b []byte) []byte { return nil },
		"garbage":         func(b []byte) []byte { return bytes.Repeat([]byte("gar"), 999) },
		"zeros":           func(b []byte) []byte { return make([]byte, len(b)) },
		"head only":       func(b []byte) []byte { return b[:indexLen] },
		"torn":            func(b []byte) []byte { return b[:len(b)-7] },
		"hole":            func(b []byte) []byte { clear(b[indexLen : 2*indexLen]); return b },
		"of the future":   func(b []byte) []byte { b[16]++; return append(seal((*[indexLen]byte)(b), nil), b[indexLen:]...) },
		"an entry's file": func(b []byte) []byte { return header{block: testBlock}.encode() },
	} {
		dir := t.TempDir()
		s := openStore(t, dir, small())
		var ids []ID
		for n := range uint64(6) {
			ids = append(ids, put(t, s, key(n), n, 1000))
		}
		s.Close()
		file := filepath.Join(dir, indexName)
		b, _ := os.ReadFile(file)
		if do == nil {
			os.Remove(file)
		} else {
			writeFile(t, file, do(b))
		}
		for range 2 { // and once more with what was repaired
			s = openStore(t, dir, small())
			s.awaitScan()
			st := s.Stats()
			if st.Entries != len(ids) || st.Off != "" {
				t.Errorf("%s: %+v", name, st)
			}
			for n, id := range ids {
				wantContent(t, get(t, s, id), content(uint64(n), 1000))
			}
			if got := s.Stats().Bytes; got != st.Bytes {
				t.Errorf("%s: %d bytes, then %d", name, st.Bytes, got)
			}
			s.Close()
		}
	}
}

// A file that has gone leaves the index: at lookup, and by the scan.
func TestMissingFiles(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, small())
	for n := range uint64(20) {
		put(t, s, key(n), n, 300)
	}
	s.Close()
	for _, f := range files(t, dir)[:10] {
		os.Remove(f)
	}
	s = openStore(t, dir, small())
	for n := range uint64(20) {
		for _, e := range s.Lookup(key(n)) {
			wantContent(t, e, content(n, 300))
			e.Release()
		}
	}
	if st := s.Stats(); st.Entries != 10 {
		t.Errorf("%+v", st)
	}
	s.Close()
	for _, f := range files(t, dir)[:5] {
		os.Remove(f)
	}
	s = openStore(t, dir, small())
	s.awaitScan()
	if st := s.Stats(); st.Entries != 5 || st.Off != "" {
		t.Errorf("%+v", st)
	}
}
