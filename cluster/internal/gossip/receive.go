package gossip

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"dtpx/cluster/internal/group"
)

// receive hands packets to the era that there is.
func (p *Pool) receive(ctx context.Context) {
	for {
		select {
		case pkt, ok := <-p.o.Wire.Packets():
			if !ok {
				return
			}
			if e, err := p.current(); err == nil {
				e.packet(pkt)
			}
		case <-ctx.Done():
			return
		}
	}
}

// serve hands streams to the era that there is, a few at a time: the others wait
// in the Wire.
func (p *Pool) serve(ctx context.Context) {
	for {
		select {
		case c, ok := <-p.o.Wire.Streams():
			if !ok {
				return
			}
			if e, err := p.current(); err == nil {
				p.accept(e, c)
			} else {
				c.Close()
			}
		case <-ctx.Done():
			return
		}
	}
}

// accept hands a stream to memberlist, or closes it where its sender has too many.
func (p *Pool) accept(e *era, c net.Conn) {
	id, from := sender(c)
	if id != (group.NodeID{}) {
		p.contacts.prove(id, netip.AddrPortFrom(from, 0), p.o.Now())
	}
	who := any(id)
	if id == (group.NodeID{}) {
		who = from
	}
	if !p.streams.enter(e.wire.ctx, who) {
		c.Close()
		return
	}
	s := newStream(c, func() { p.streams.leave(who) })
	select {
	case e.wire.streams <- s:
	case <-e.wire.ctx.Done():
		s.Close()
	}
}

func sender(c net.Conn) (id group.NodeID, from netip.Addr) {
	id, _ = peerOf(c)
	if ap, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		from = ap.Addr().Unmap()
	}
	return id, from
}

const (
	// A stream can make memberlist allocate 140 MB for entries that are only
	// promised, so few are read at a time.
	streamsAtATime = 8
	streamsOfOne   = 2
)

// gate bounds the streams that are read at a time, in all and of one sender.
type gate struct {
	all chan struct{}

	mu   sync.Mutex // guards open
	open map[any]int
}

func newGate() *gate {
	return &gate{all: make(chan struct{}, streamsAtATime), open: map[any]int{}}
}

// enter waits for its turn. It is false for a sender that has enough, and when
// ctx ends.
func (g *gate) enter(ctx context.Context, who any) bool {
	select {
	case g.all <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open[who] >= streamsOfOne {
		<-g.all
		return false
	}
	g.open[who]++
	return true
}

func (g *gate) leave(who any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	<-g.all
	if g.open[who]--; g.open[who] == 0 {
		delete(g.open, who)
	}
}
