package disk

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestWriterIsWoken: the writer is woken for enough blocks, for what has waited, for
// an entry that gets no more, and where memory is short.
func TestWriterIsWoken(t *testing.T) {
	for _, c := range []struct {
		name    string
		blocks  int // of one entry
		entries int
		memory  int // in blocks; 0 = plenty
		closed  bool
		now     bool
	}{
		{"one block", 1, 1, 0, false, false},
		{"some blocks", enoughBlocks - 1, 1, 0, false, false},
		{"enough blocks", enoughBlocks, 1, 0, false, true},
		{"a block of some entries", 1, enoughEntries - 1, 0, false, false},
		{"a block of enough entries", 1, enoughEntries, 0, false, true},
		{"the last block", 1, 1, 0, true, true},
		{"little memory", 2, 1, 3, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := small()
				o.FS = newMortal(1).mount
				if o.Memory = 100 * testBlock; c.memory > 0 {
					o.Memory = int64(c.memory) * testBlock
				}
				s := openStore(t, "sim", o)
				defer s.Close()
				s.awaitScan()
				for i := range c.entries {
					e, err := s.Create(key(uint64(i)), nil, 50*testBlock)
					if err != nil {
						t.Fatal(err)
					}
					defer e.Release()
					f := e.Fill()
					f.WriteAt(content(1, c.blocks*testBlock), 0)
					if c.closed {
						f.Close()
					} else {
						defer f.Close()
					}
				}
				synctest.Wait()
				all := int64(c.blocks * c.entries)
				if n := s.Stats().Written; (n > 0) != c.now {
					t.Errorf("%d of %d blocks written at once", n, all)
				}
				time.Sleep(lateWake)
				synctest.Wait()
				if n := s.Stats().Written; n != all {
					t.Errorf("%d of %d blocks written after %v", n, all, lateWake)
				}
			})
		})
	}
}
