package disk

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A download whose bytes others wait for goes no faster than the disk; one that
// nobody follows is not held up by it, and a disk that hangs holds up nobody.
func TestPace(t *testing.T) {
	const n = 1000
	for _, c := range []struct {
		name    string
		each    time.Duration // that the disk takes for a write
		follows bool
		dropped bool
		least   time.Duration
		most    time.Duration
	}{
		{"followed", time.Millisecond, true, false, 20 * time.Millisecond, 2 * n * time.Millisecond},
		{"not followed", 20 * time.Millisecond, false, true, 0, 0},
		{"the disk hangs", time.Hour, true, true, paceMost, paceMost},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, e := onSlowDisk(t, n, c.each)
				want, f, began := content(1, n*testBlock), e.Fill(), time.Now()
				for i := range n {
					if c.follows {
						e.Growth()
					}
					f.Pace(context.Background())
					_, _ = f.WriteAt(want[i*testBlock:][:testBlock], int64(i*testBlock))
				}
				took := time.Since(began)
				f.Close()
				if got := s.Stats().Dropped > 0; got != c.dropped {
					t.Errorf("%d blocks dropped", s.Stats().Dropped)
				}
				if took < c.least || took > c.most {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// onSlowDisk is a new entry of n blocks in a store whose disk takes so long for each
// write, until the test ends.
func onSlowDisk(t *testing.T, n int64, each time.Duration) (*Store, *Entry) {
	m, o := newMortal(1), small()
	o.FS = m.mount
	s := openStore(t, "sim", o)
	t.Cleanup(func() { s.Close() })
	s.awaitScan()
	over := make(chan struct{})
	m.gate = func(op, name string) {
		if op == "write" {
			select {
			case <-time.After(each):
			case <-over:
			}
		}
	}
	e, err := s.Create(key(1), nil, n*testBlock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(over); e.Release() })
	return s, e
}

// Who has gone does not wait for the disk.
func TestPaceEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, e := onSlowDisk(t, 100, time.Hour)
		fill(e, content(1, 100*testBlock), 0)
		f := e.Fill()
		defer f.Close()
		e.Growth()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		f.Pace(ctx)
		if time.Since(began) > 0 {
			t.Error("it waited")
		}
	})
}
