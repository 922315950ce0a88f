package disk

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lines is a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take returns the lines since the last call.
func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := strings.Split(strings.TrimSpace(l.b.String()), "\n")
	l.b.Reset()
	if all[0] == "" {
		return nil
	}
	return all
}

func logged(o *Options) *lines {
	l := &lines{}
	o.Log = slog.New(slog.NewTextHandler(l, nil))
	return l
}

var errDisk = errors.New("input/output error")

// Each trouble turns the store off with one line, harms nobody, and is got over.
func TestTroubleTurnsTheStoreOffForAWhile(t *testing.T) {
	for name, fail := range map[string]func(op, name string) error{
		"write":     on("write", "/", errDisk),
		"read-only": on("open", "/", fs.ErrPermission),
		"vanished":  on("", "", fs.ErrNotExist),
		"statfs":    on("free", "", errDisk),
		"full":      on("write", "/", errFull),
		"cut":       on("truncate", "/", errDisk),
		"index":     on("write", "index", errDisk),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { trouble(t, fail) })
		})
	}
}

// on fails one operation on names that contain what is given.
func on(op, part string, err error) func(op, name string) error {
	return func(o, n string) error {
		if (op == "" || o == op) && strings.Contains(n, part) {
			return err
		}
		return nil
	}
}

func (m *mortal) set(fail func(op, name string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

func trouble(t *testing.T, fail func(op, name string) error) {
	m, o := newMortal(1), small()
	o.FS = m.mount
	log := logged(&o)
	s := openStore(t, "sim", o)
	old := put(t, s, key(1), 1, 3000)
	s.Close()
	s = openStore(t, "sim", o) // so that the first append cuts the tail
	defer s.Close()
	s.awaitScan()
	e, _ := s.Get(old)
	young, err := s.Create(key(2), nil, 3000)
	if err != nil {
		t.Fatal(err)
	}

	m.set(fail)
	fill(young, content(2, 3000), 0)
	if err := e.SetMeta([]byte("new")); err != nil {
		t.Fatal(err)
	}
	_ = s.Flush()
	wantOff(t, s, log)
	wantNothing(t, s, e, young)
	time.Sleep(3 * retryAfter)
	synctest.Wait()
	if _, off := s.Off(); off {
		if l := log.take(); len(l) != 0 {
			t.Errorf("still off, log: %q", l)
		}
	}

	m.set(nil)
	wantOn(t, s, log)
	wantNothing(t, nil, e, young) // what was believed before is not any more
	e.Release()
	young.Release()
	again := get(t, s, old)
	wantContent(t, again, content(1, 3000))
	put(t, s, key(3), 3, 3000)
	if st := s.Stats(); st.Memory != 0 {
		t.Errorf("%+v", st)
	}
}

func wantOff(t *testing.T, s *Store, log *lines) {
	t.Helper()
	synctest.Wait()
	if reason, off := s.Off(); !off || reason == "" {
		t.Fatal("not off")
	}
	if l := log.take(); len(l) != 1 || !strings.Contains(l[0], "cache is off") {
		t.Errorf("log: %q", l)
	}
}

func wantOn(t *testing.T, s *Store, log *lines) {
	t.Helper()
	time.Sleep(2*retryAfter + tick)
	synctest.Wait()
	if reason, off := s.Off(); off {
		t.Fatal("still off:", reason)
	}
	if l := log.take(); len(l) == 0 || !strings.Contains(l[len(l)-1], "on again") {
		t.Errorf("log: %q", l)
	}
}

// wantNothing wants a store that is off to hold and take nothing.
func wantNothing(t *testing.T, s *Store, es ...*Entry) {
	t.Helper()
	for _, e := range es {
		fill(e, make([]byte, 1000), 0)
		if n, err := e.ReadAt(make([]byte, 10), 0); n != 0 || !errors.Is(err, ErrMissing) {
			t.Error("read:", n, err)
		}
		if h := e.Held(); len(h) > 0 || e.Has(0) || e.Complete() || !e.Removed() {
			t.Error("held:", h)
		}
		e.Use()
		e.SetCost(2)
	}
	if s == nil {
		return
	}
	if _, err := s.Create(key(9), nil, 10); !errors.Is(err, ErrOff) {
		t.Error("create:", err)
	}
	if n := len(s.Lookup(key(1))) + s.Purge() + s.RemoveKey(key(1)); n != 0 || s.Remove(es[0].ID()) {
		t.Error("found:", n)
	}
	if err := s.Flush(); !errors.Is(err, ErrOff) {
		t.Error("flush:", err)
	}
	if err := s.Verify(t.Context(), func(Info, int) { t.Error("verified") }); !errors.Is(err, ErrOff) {
		t.Error("verify:", err)
	}
	s.Entries(func(Info) bool { t.Error("listed"); return false })
}

func TestOpenOnADiskInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, o := newMortal(1), small()
		o.FS = m.mount
		log := logged(&o)
		m.set(on("open", "", fs.ErrPermission))
		s := openStore(t, "sim", o)
		defer s.Close()
		if _, off := s.Off(); !off || len(log.take()) != 1 {
			t.Error("on, or not said so")
		}
		m.set(nil)
		time.Sleep(retryAfter + tick)
		synctest.Wait()
		put(t, s, key(1), 1, 1000)
	})
}

// One sector that cannot be read is a block that is missing; many are trouble.
func TestUnreadableSectors(t *testing.T) {
	m, o := newMortal(1), small()
	o.FS = m.mount
	s := openStore(t, "sim", o)
	id := put(t, s, key(1), 1, 20*testBlock)
	e := get(t, s, id)
	m.set(on("read", "/", errDisk))
	b := make([]byte, testBlock)
	for n := range int64(readErrorsMax - 1) {
		if _, err := e.ReadAt(b, n*testBlock); !errors.Is(err, ErrMissing) || e.Has(n*testBlock) {
			t.Fatal(err)
		}
	}
	m.set(nil)
	fill(e, content(1, 20*testBlock), 0) // fetched again
	flush(t, s)
	wantContent(t, e, content(1, 20*testBlock))
	m.set(on("read", "/", errDisk))
	for n := range int64(readErrorsMax) {
		if _, off := s.Off(); off {
			t.Fatal("off after", n)
		}
		e.ReadAt(b[:1], n*testBlock)
	}
	if _, off := s.Off(); !off {
		t.Error("still on")
	}
}

func TestAVanishedDirectoryIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir() + "/cache"
		o := small()
		log := logged(&o)
		s := openStore(t, dir, o)
		defer s.Close()
		put(t, s, key(1), 1, 1000)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		e, err := s.Create(key(2), nil, 1000)
		if err != nil {
			t.Fatal(err)
		}
		fill(e, content(2, 1000), 0)
		_ = s.Flush()
		synctest.Wait()
		if _, off := s.Off(); !off || len(log.take()) != 1 {
			t.Error("not off, or not said so")
		}
		e.Release()
		time.Sleep(retryAfter + tick)
		synctest.Wait()
		put(t, s, key(2), 2, 1000)
		if len(s.Lookup(key(1))) != 0 {
			t.Error("found what is gone")
		}
	})
}
