package disk

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []int{0, 1, 255, 256, 257, 5000} {
		for seed := range uint64(2) {
			s := openStore(t, dir, small())
			id := put(t, s, key(1), seed, n)
			wantContent(t, get(t, s, id), content(seed, n))
			if e := get(t, s, id); !e.Complete() {
				t.Errorf("%d bytes: not complete: %v", n, e.Held())
			}
			s.Close()
			s = openStore(t, dir, small())
			e := get(t, s, id)
			wantContent(t, e, content(seed, n))
			wantContent(t, e, content(seed, n)) // now without hashing
			if !bytes.Equal(e.Meta(), metaOf(seed)) || e.Total() != int64(n) || e.Key() != key(1) {
				t.Errorf("%d bytes: %q %d", n, e.Meta(), e.Total())
			}
			if n, err := e.ReadAt(make([]byte, 9), int64(n)); n != 0 || err != io.EOF {
				t.Errorf("beyond the end: %d %v", n, err)
			}
			s.Close()
		}
	}
}

func TestPartsInAnyOrder(t *testing.T) {
	s := openStore(t, t.TempDir(), small())
	want := content(1, 1000)
	e, err := s.Create(key(1), nil, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Release()
	f := e.Fill()
	for _, r := range []Run{{900, 1000}, {100, 300}, {0, 150}, {700, 2000}, {-5, 5}} {
		if r.Start >= 0 {
			f.WriteAt(append(slices.Clone(want), make([]byte, 1000)...)[r.Start:r.End], r.Start)
		} else {
			f.WriteAt(make([]byte, 10), r.Start)
		}
	}
	if got := e.Held(); !slices.Equal(got, []Run{{0, 256}, {768, 1000}}) {
		t.Error("held", got)
	}
	for _, c := range []struct {
		off, n int64
		got    int
		err    error
	}{
		{0, 256, 256, nil}, {0, 300, 256, ErrMissing}, {255, 2, 1, ErrMissing}, {256, 1, 0, ErrMissing},
		{700, 100, 0, ErrMissing}, {768, 232, 232, nil}, {768, 300, 232, io.EOF}, {5000, 1, 0, io.EOF},
	} {
		for range 2 { // from memory, then from the file
			b := make([]byte, c.n)
			n, err := e.ReadAt(b, c.off)
			if n != c.got || !errors.Is(err, c.err) && err != c.err {
				t.Errorf("%+v: %d %v", c, n, err)
			}
			if n > 0 && !bytes.Equal(b[:n], want[c.off:c.off+int64(n)]) {
				t.Errorf("%+v: other bytes", c)
			}
			flush(t, s)
		}
	}
	f.Close() // gives up what is not whole
	fill(e, want[300:700], 300)
	if got := e.Held(); !slices.Equal(got, []Run{{0, 256}, {512, 1000}}[:1:1]) && e.Has(256) {
		t.Error("a part given up counts", got)
	}
	if _, err := e.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("negative offset was read")
	}
}

func TestVariantsNewestFirst(t *testing.T) {
	s := openStore(t, t.TempDir(), small())
	var ids []ID
	for seed := range uint64(4) {
		ids = append(ids, put(t, s, key(7), seed, 300))
	}
	put(t, s, key(8), 9, 300)
	slices.Reverse(ids)
	var got []ID
	for _, e := range s.Lookup(key(7)) {
		got = append(got, e.ID())
		e.Release()
	}
	if !slices.Equal(got, ids) {
		t.Errorf("%v, want %v", got, ids)
	}
	if n := s.RemoveKey(key(7)); n != 4 || len(s.Lookup(key(7))) != 0 || len(s.Lookup(key(8))) != 1 {
		t.Errorf("removed %d", n)
	}
}

// Only complete blocks bring a file; without any the entry is forgotten.
func TestAnEntryWithoutBlocksLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, small())
	e, err := s.Create(key(1), metaOf(1), 1000)
	if err != nil {
		t.Fatal(err)
	}
	fill(e, make([]byte, 100), 0)
	flush(t, s)
	if len(s.Lookup(key(1))) != 1 {
		t.Error("not found while it is used")
	} else {
		e.Release()
	}
	e.Release()
	if got := files(t, dir); len(got) > 0 || s.Stats().Entries != 0 || s.Stats().Open != 0 || s.Stats().Memory != 0 {
		t.Errorf("left: %v %+v", got, s.Stats())
	}
}

// files lists the entries' files in dir.
func files(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "??", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestReadersGoOnAfterRemoval(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, small())
	id := put(t, s, key(1), 1, 3000)
	e, _ := s.Get(id)
	_, grown := e.Growth()
	if !s.Remove(id) || s.Remove(id) {
		t.Error("removed not once")
	}
	<-grown
	flush(t, s)
	if len(files(t, dir)) != 0 || len(s.Lookup(key(1))) != 0 || s.Stats().Bytes != 0 {
		t.Errorf("not removed: %+v", s.Stats())
	}
	wantContent(t, e, content(1, 3000))
	fill(e, content(1, 3000), 0) // is ignored
	e.Release()
	if st := s.Stats(); st.Open != 0 || st.Memory != 0 {
		t.Errorf("%+v", st)
	}
}

func TestMetaIsReplaced(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, small())
	id := put(t, s, key(1), 1, 600)
	e, _ := s.Get(id)
	var last []byte
	for i := range 2000 { // grows beyond what a journal may have in dead records
		last = bytes.Repeat([]byte{byte(i)}, 100)
		if err := e.SetMeta(last); err != nil {
			t.Fatal(err)
		}
		flush(t, s)
	}
	if err := e.SetMeta(make([]byte, MaxMeta+1)); err == nil {
		t.Error("too large a meta was taken")
	}
	e.Release()
	if b := s.Stats().Bytes; b > headerSize+600+1000 {
		t.Errorf("%d bytes stored", b)
	}
	s.Close()
	s = openStore(t, dir, small())
	e = get(t, s, id)
	if !bytes.Equal(e.Meta(), last) {
		t.Errorf("meta %q", e.Meta())
	}
	wantContent(t, e, content(1, 600))
}

func TestKernelReadsWhatIsRawAndChecked(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, small())
	raw, packed := put(t, s, key(1), 1, 4000), put(t, s, key(2), 2, 4000)
	h := get(t, s, raw).Handle()
	defer h.Close()
	want := content(1, 4000)
	var got []byte
	checked := int64(0)
	for len(got) < len(want) {
		f, at, n, ok := h.File(int64(len(got)))
		end := int64(len(got)) + n
		if !ok || n <= 0 || end > checked+aheadMax*testBlock {
			t.Fatalf("at %d: %d bytes, %v, %d were checked", len(got), n, ok, checked)
		}
		checked = end
		if pos, err := f.Seek(0, io.SeekCurrent); pos != at || err != nil {
			t.Error("not positioned:", pos, at, err)
		}
		b := make([]byte, min(n, 300))
		if _, err := io.ReadFull(f, b); err != nil {
			t.Fatal(err)
		}
		got = append(got, b...)
	}
	if !bytes.Equal(got, want) {
		t.Error("other bytes")
	}
	if _, _, n, ok := h.File(10); !ok || n != 3990 {
		t.Errorf("checked bytes are %d", n)
	}
	p := get(t, s, packed).Handle()
	defer p.Close()
	if _, _, _, ok := p.File(0); ok || s.Stats().Saved == 0 {
		t.Errorf("packed bytes for the kernel: %+v", s.Stats())
	}
	if _, _, _, ok := h.File(4000); ok {
		t.Error("bytes beyond the end")
	}
}

func TestFilesOpenAreBounded(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{Size: 64 << 20, Reserve: -1, BlockSize: testBlock})
	for n := range uint64(maxIdle + 50) {
		e, err := s.Create(key(n), metaOf(n), 300)
		if err != nil {
			t.Fatal(err)
		}
		fill(e, content(n, 300), 0)
		e.Release()
	}
	flush(t, s)
	if st := s.Stats(); st.Open != maxIdle || st.Entries != maxIdle+50 {
		t.Errorf("%+v", st)
	}
	for n := range uint64(maxIdle + 50) {
		es := s.Lookup(key(n))
		if len(es) != 1 {
			t.Fatalf("%d entries of %d", len(es), n)
		}
		wantContent(t, es[0], content(n, 300))
		es[0].Release()
	}
}

func TestOneStorePerDirectory(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, small())
	if _, err := Open(dir, small()); !errors.Is(err, ErrInUse) {
		t.Error(err)
	}
	s.Close()
	s = openStore(t, dir, small())
	if _, off := s.Off(); off {
		t.Error("off after the other has closed")
	}
	st, err := os.Stat(filepath.Join(dir, indexName))
	if err != nil || st.Mode().Perm()&0o77 != 0 {
		t.Error("others may read the index", err)
	}
}

func TestPurge(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, small())
	for n := range uint64(200) {
		put(t, s, key(n), n, 300)
	}
	if n := s.Purge(); n != 200 {
		t.Error("purged", n)
	}
	flush(t, s)
	if got := files(t, dir); len(got) > 0 || s.Stats().Bytes != 0 {
		t.Errorf("%d left: %+v", len(got), s.Stats())
	}
	s.Close()
	if st := openStore(t, dir, small()).Stats(); st.Entries != 0 {
		t.Errorf("back again: %+v", st)
	}
}
