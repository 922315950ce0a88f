// Package wire is a long cable in user space: it joins two machines of a netns lab
// through a TUN device in each and hands packets across after a delay, no faster
// than a rate, losing some. It stands in for netem, which many kernels lack.
//
// Each direction is one goroutine that reads packets from one device into a queue
// and one that writes them to the other when they are due. A packet that would
// wait for the rate longer than Queue is dropped, as a router does.
//
// Not guaranteed: delays are right to about a millisecond, since timers are; one
// wire carries some hundred Mbit/s, since each packet is two system calls.
package wire

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"dtpx/internal/testbed/netns"
)

// Shape is how a wire carries packets, the same in both directions.
type Shape struct {
	Delay time.Duration // one way; half of the round trip
	Rate  int64         // bits per second, 0 = unlimited
	Loss  float64       // part of the packets lost at random, 0 to 1
	Queue time.Duration // longest wait for the rate; 0 = 100 ms
	Off   bool          // nothing gets through
}

// Stats counts one direction's packets.
type Stats struct {
	Packets, Bytes int64 // delivered
	Lost           int64 // by Loss or Off
	Dropped        int64 // queue full
}

// Wire is a running cable. Close it before its lab.
type Wire struct {
	A, B netns.Port

	ab, ba *lane
	files  []io.Closer
	wg     sync.WaitGroup
}

// Join connects two machines; the addresses have prefix lengths:
// Join(lab, a, "10.3.0.1/24", b, "10.3.0.2/24", wire.Shape{Delay: 20 * time.Millisecond}).
func Join(lab *netns.Lab, a *netns.Machine, cidrA string, b *netns.Machine, cidrB string, s Shape) (*Wire, error) {
	w := &Wire{A: netns.Port{M: a, Dev: lab.Device("tun"), CIDR: cidrA}, B: netns.Port{M: b, Dev: lab.Device("tun"), CIDR: cidrB}}
	ta, err := w.open(w.A)
	if err != nil {
		w.Close()
		return nil, err
	}
	tb, err := w.open(w.B)
	if err != nil {
		w.Close()
		return nil, err
	}
	w.ab, w.ba = newLane(ta, tb, 1), newLane(tb, ta, 2)
	w.Set(s)
	for _, l := range []*lane{w.ab, w.ba} {
		w.wg.Go(l.take)
		w.wg.Go(l.give)
	}
	return w, nil
}

func (w *Wire) open(p netns.Port) (io.ReadWriteCloser, error) {
	f, err := openTUN(p)
	if err != nil {
		return nil, fmt.Errorf("make %s in %s: %w", p.Dev, p.M.Name(), err)
	}
	w.files = append(w.files, f)
	return f, p.Configure()
}

// Set reshapes both directions from now on.
func (w *Wire) Set(s Shape) {
	if s.Queue == 0 {
		s.Queue = 100 * time.Millisecond
	}
	for _, l := range []*lane{w.ab, w.ba} {
		l.mu.Lock()
		l.shape = s
		l.mu.Unlock()
	}
}

// Stats counts A to B and B to A.
func (w *Wire) Stats() (ab, ba Stats) { return w.ab.read(), w.ba.read() }

// Close removes both devices and waits for the goroutines.
func (w *Wire) Close() error {
	var errs []error
	for _, f := range w.files {
		errs = append(errs, f.Close())
	}
	for _, l := range []*lane{w.ab, w.ba} {
		if l != nil {
			close(l.done)
		}
	}
	w.wg.Wait()
	return errors.Join(errs...)
}

// lane is one direction.
type lane struct {
	from io.Reader
	to   io.Writer
	due  chan packet
	done chan struct{}

	mu     sync.Mutex
	shape  Shape
	free   time.Time // when the rate lets the next packet leave
	random *rand.Rand
	stats  Stats
}

type packet struct {
	data []byte
	at   time.Time
}

// inFlight bounds memory: 16384 packets are 500 Mbit/s over 400 ms.
const inFlight = 16384

func newLane(from io.Reader, to io.Writer, seed uint64) *lane {
	return &lane{from: from, to: to, due: make(chan packet, inFlight), done: make(chan struct{}),
		random: rand.New(rand.NewPCG(seed, 0))}
}

// take reads packets until the device is closed.
func (l *lane) take() {
	defer close(l.due)
	buf := make([]byte, 65536)
	for {
		n, err := l.from.Read(buf)
		if err != nil {
			return
		}
		if at, ok := l.admit(n, time.Now()); ok {
			l.queue(packet{append([]byte(nil), buf[:n]...), at})
		}
	}
}

func (l *lane) queue(p packet) {
	select {
	case l.due <- p:
	default:
		l.count(func(s *Stats) { s.Dropped++ })
	}
}

// admit decides a packet's fate: when it arrives, if it does.
func (l *lane) admit(n int, now time.Time) (at time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.shape
	if s.Off || s.Loss > 0 && l.random.Float64() < s.Loss {
		l.stats.Lost++
		return at, false
	}
	if l.free.Before(now) {
		l.free = now
	}
	if s.Rate > 0 {
		if l.free.Sub(now) > s.Queue {
			l.stats.Dropped++
			return at, false
		}
		l.free = l.free.Add(time.Duration(float64(n*8) / float64(s.Rate) * float64(time.Second)))
	}
	return l.free.Add(s.Delay), true
}

// give writes packets when they are due, in order.
func (l *lane) give() {
	t := time.NewTimer(0)
	defer t.Stop()
	for p := range l.due {
		if d := time.Until(p.at); d > 0 {
			t.Reset(d)
			select {
			case <-t.C:
			case <-l.done:
				continue // drain, so that take never waits
			}
		}
		if _, err := l.to.Write(p.data); err == nil {
			l.count(func(s *Stats) { s.Packets++; s.Bytes += int64(len(p.data)) })
		}
	}
}

func (l *lane) count(f func(*Stats)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.stats)
}

func (l *lane) read() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}
