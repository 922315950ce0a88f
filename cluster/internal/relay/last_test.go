package relay

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

func benLast(s *Server) { s.Last = func(member string) bool { return member == "ben" } }

// tap reads all that comes by m while open is true, and counts it.
func (r *rig) tap(m *member, open *atomic.Bool) *atomic.Int64 {
	var n atomic.Int64
	r.done.Go(func() {
		buf := make([]byte, bufSize)
		for open.Load() {
			k, err := m.Read(buf)
			if err != nil {
				return
			}
			n.Add(int64(k))
		}
	})
	return &n
}

// Who is served last gets a small part beside somebody else, and all of it as soon as
// nothing of the other one moves.
func TestLastWaitsForTheOthers(t *testing.T) {
	const rate = 16 << 20
	play(t, func(s *Server) { benLast(s); s.Rate = rate }, give(1<<40), func(r *rig) {
		var reads, ends atomic.Bool
		reads.Store(true)
		ends.Store(true)
		a, b := r.openAt(forAnna), r.openAt(forBen)
		anna, ben := r.tap(a, &reads), r.tap(b, &ends)
		time.Sleep(4 * time.Second)
		if n, all := ben.Load(), anna.Load()+ben.Load(); n == 0 || n > all/10 || all < rate*4*95/100 {
			t.Errorf("ben got %d of %d beside anna", n, all)
		}
		reads.Store(false) // anna's tunnel stays, and holds still
		time.Sleep(time.Second)
		before := ben.Load()
		time.Sleep(4 * time.Second)
		if n := ben.Load() - before; n < rate*4*95/100 {
			t.Errorf("ben got %d alone, of %d", n, rate*4)
		}
		ends.Store(false)
		a.Close()
		b.Close()
	})
}

// Half of the slots are never for who is served last: the others always find one.
func TestLastFindsHalfOfTheSlots(t *testing.T) {
	set := func(s *Server) { benLast(s); s.Conns, s.PerMember = 8, 8 }
	play(t, set, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, func(r *rig) {
		full := func(lender string) {
			t.Helper()
			if resp, _ := r.askAt(lender, origin); resp.StatusCode != 429 || resp.Header.Get(ReasonField) != "connections" {
				t.Errorf("%s: %s %s", lender, resp.Status, resp.Header)
			}
		}
		fill := func(lender string) (open []*member) {
			t.Helper()
			for range 4 {
				open = append(open, r.openAt(lender))
			}
			return open
		}
		ben := fill(forBen)
		full(forBen)
		anna := fill(forAnna)
		full(forAnna)
		ben[0].Close()
		time.Sleep(time.Second)
		full(forBen) // there is one, and it is not for him
		for _, m := range anna {
			m.Close()
		}
		time.Sleep(time.Second)
		ben[0] = r.openAt(forBen)
		for _, m := range ben {
			m.Close()
		}
	})
}
