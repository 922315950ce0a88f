package disk

import (
	"fmt"
	"io"
	"net"
	"testing"
)

const benchTotal = 64 << 20

func benchStore(b *testing.B) *Store {
	return openStore(b, b.TempDir(), Options{Size: 4 << 30, Reserve: -1, Memory: 2 * benchTotal})
}

func BenchmarkWriteAt(b *testing.B) {
	for seed, name := range map[uint64]string{1: "raw", 2: "text"} {
		b.Run(name, func(b *testing.B) {
			s := benchStore(b)
			want := content(seed, benchTotal)
			b.SetBytes(benchTotal)
			for b.Loop() {
				e, err := s.Create(key(1), nil, benchTotal)
				if err != nil {
					b.Fatal(err)
				}
				f := e.Fill()
				for at := 0; at < benchTotal; at += 64 << 10 {
					f.WriteAt(want[at:at+64<<10], int64(at))
				}
				f.Close()
				flush(b, s)
				e.Release()
				b.StopTimer()
				s.Remove(e.ID())
				flush(b, s)
				b.StartTimer()
			}
			if st := s.Stats(); st.Dropped+st.Refused > 0 {
				b.Errorf("%+v", st)
			}
		})
	}
}

func BenchmarkReadAt(b *testing.B) {
	for _, c := range []struct {
		name   string
		seed   uint64
		forget bool // what was verified
		step   int
	}{
		{"first", 1, true, BlockSize}, {"again", 1, false, BlockSize}, {"again32K", 1, false, 32 << 10}, {"text32K", 2, false, 32 << 10},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := benchStore(b)
			e := get(b, s, put(b, s, key(1), c.seed, benchTotal))
			p := make([]byte, c.step)
			b.SetBytes(benchTotal)
			for b.Loop() {
				if c.forget {
					forget(e)
				}
				for at := int64(0); at < benchTotal; at += int64(c.step) {
					if _, err := e.ReadAt(p, at); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func forget(e *Entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.table.each(func(i uint32, _ cell) { e.table.at(i).state &^= verified })
}

// BenchmarkSend sends through loopback, with sendfile where there is one.
func BenchmarkSend(b *testing.B) {
	for _, first := range []bool{true, false} {
		b.Run(fmt.Sprintf("first=%v", first), func(b *testing.B) {
			s := benchStore(b)
			e := get(b, s, put(b, s, key(1), 1, benchTotal))
			to := sink(b)
			b.SetBytes(benchTotal)
			for b.Loop() {
				if first {
					forget(e)
				}
				h := e.Handle()
				for at := int64(0); at < benchTotal; {
					f, _, n, ok := h.File(at)
					if !ok {
						b.Fatal("no file")
					}
					m, err := io.CopyN(to, f, n)
					if err != nil {
						b.Fatal(err)
					}
					at += m
				}
				h.Close()
			}
		})
	}
}

// sink is a connection to somebody who throws all away.
func sink(b *testing.B) net.Conn {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.CopyBuffer(struct{ io.Writer }{io.Discard}, c, make([]byte, 1<<20))
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.Close()
		l.Close()
		<-done
	})
	return c
}
