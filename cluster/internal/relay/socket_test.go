package relay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"
)

type syscallConn = syscall.RawConn

func listen(t testing.TB) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// Real sockets: the splice path, and what the kernel counted.
func TestSpliceBetweenBareSockets(t *testing.T) {
	const size = 20<<20 + 17
	far, near := listen(t), listen(t)
	a := &account{quota: 1 << 40}
	port := far.Addr().(*net.TCPAddr).AddrPort().Port()
	s := &Server{
		Rules: Rules{Ports: []int{int(port)}, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Meter: func(string) Account { return a },
		Idle:  2 * time.Second,
	}
	defer s.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		if c, err := far.Accept(); err == nil {
			defer c.Close()
			_, _ = io.CopyN(c, zeros{}, size)
			b, _ := io.ReadAll(c)
			_, _ = c.Write(b)
		}
	})
	wg.Go(func() {
		if c, err := near.Accept(); err == nil {
			if err := s.ServeConn(t.Context(), c, "anna"); err != nil {
				t.Error(err)
			}
		}
	})
	c, err := net.Dial("tcp", near.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", far.Addr())
	r := bufio.NewReader(c)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	if n, err := io.CopyN(io.Discard, r, size); n != size || err != nil {
		t.Fatal(n, err)
	}
	_, _ = io.WriteString(c, "thanks")
	closeWrite(c)
	if b, err := io.ReadAll(r); string(b) != "thanks" || err != nil {
		t.Errorf("%q %v", b, err)
	}
	wg.Wait()
	if a.spent() != size+12 {
		t.Errorf("account %d, want %d", a.spent(), size+12)
	}
}

func TestSpliceIsChosenForBareSocketsOnly(t *testing.T) {
	tun := &tunnel{s: &Server{}}
	tcp, other := &net.TCPConn{}, struct{ net.Conn }{}
	for _, c := range []struct {
		dst, src net.Conn
		spliced  bool
	}{{tcp, tcp, true}, {other, tcp, false}, {tcp, other, false}} {
		m := tun.mover(c.dst, c.src)
		if (m.buf == nil) != c.spliced {
			t.Errorf("%T from %T", c.dst, c.src)
		}
		m.free()
	}
}

func TestControlRefusesBeforeTheFirstPacket(t *testing.T) {
	l := listen(t)
	s := &Server{Rules: ports()}
	_, err := DialTCP(t.Context(), l.Addr().(*net.TCPAddr).AddrPort(), func(_, address string, _ syscall.RawConn) error {
		return s.dialled(address)
	})
	var f *Forbidden
	if !errors.As(err, &f) {
		t.Fatal(err)
	}
	l.SetDeadline(time.Now().Add(10 * time.Millisecond))
	if c, err := l.Accept(); err == nil {
		t.Error("connected", c.RemoteAddr())
	}
}

// Whatever two directions do, no more than Step is booked and unmoved, or a
// quarter of what has moved, and in the end what was moved has been paid.
func TestPurseKeepsItsBooks(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		a := &account{quota: rnd.Int64N(60 << 20)}
		p := &purse{account: a}
		var moved, held int64
		var under []int64
		for range 1000 {
			if len(under) < 2 && rnd.IntN(2) == 0 {
				if n, err := p.take(1 + rnd.Int64N(bufSize)); err == nil {
					under, held = append(under, n), held+n
				}
			} else if len(under) > 0 {
				n := under[0]
				used := rnd.Int64N(n + 1)
				p.spent(n, used)
				under, held, moved = under[1:], held-n, moved+used
			}
			if out := a.spent() - moved; out > max(Step, moved/4) || out < held {
				t.Fatalf("seed %d: %d booked and not moved, %d held", seed, out, held)
			}
		}
		for _, n := range under {
			p.spent(n, 0)
		}
		p.settle(7)
		if a.spent() != moved+7 {
			t.Fatalf("seed %d: paid %d, moved %d", seed, a.spent(), moved)
		}
	}
}

func TestBucketSurvivesClockJumps(t *testing.T) {
	b, now := &bucket{}, time.Unix(1e9, 0)
	const rate = 1000
	b.wait(now, rate)
	b.pay(now, 1000)
	if d := b.wait(now, rate); d < time.Second || d > time.Second+time.Millisecond {
		t.Error(d)
	}
	if d := b.wait(now.Add(-time.Hour), rate); d > time.Second+time.Millisecond {
		t.Error("back:", d)
	}
	if d := b.wait(now.Add(time.Hour), rate); d != 0 {
		t.Error("forth:", d)
	}
}

// What was not bounded is not owed, a debt is paid at the new rate.
func TestBucketChangesItsRate(t *testing.T) {
	b, now := &bucket{}, time.Unix(1e9, 0)
	b.pay(now, 1<<30)
	if d := b.wait(now, 1000); d != 0 {
		t.Error("owes what was free:", d)
	}
	b.pay(now, 1000)
	for _, c := range []struct{ rate, wait float64 }{{1000, 1}, {100, 10}, {10000, 0.1}, {math.Inf(1), 0}, {1000, 0}} {
		if d := b.wait(now, c.rate).Seconds(); d < c.wait || d > c.wait+0.001 {
			t.Errorf("at %.0f B/s: %.3f s, want %.3f", c.rate, d, c.wait)
		}
	}
}
