package cluster

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"

	"dtpx/cluster/internal/gossip"
	"dtpx/cluster/internal/group"
	"dtpx/cluster/internal/port"
)

// wire is how membership travels: over the peer port.
type wire struct {
	s       *session
	streams chan net.Conn
	packets chan gossip.Packet
	also    atomic.Pointer[[]netip.Addr] // the other addresses, when Advertise was last asked
}

// streamsMax are those that membership has not taken yet.
const streamsMax = 16

func newWire(s *session) *wire {
	return &wire{s: s, streams: make(chan net.Conn, streamsMax), packets: make(chan gossip.Packet)}
}

// pump passes packets on until ctx ends.
func (w *wire) pump(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-w.s.port.Packets():
			select {
			case w.packets <- gossip.Packet{Buf: p.Data, From: p.From, At: p.At}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// take hands a stream to membership, which reads one message and is done.
func (w *wire) take(c *port.Conn) {
	select {
	case w.streams <- c:
	default:
		c.Close()
	}
}

// Streams implements gossip.Wire.
func (w *wire) Streams() <-chan net.Conn { return w.streams }

// Packets implements gossip.Wire.
func (w *wire) Packets() <-chan gossip.Packet { return w.packets }

// WriteTo implements gossip.Wire.
func (w *wire) WriteTo(b []byte, to netip.AddrPort) error { return w.s.port.WriteTo(b, to) }

// DialStream implements gossip.Wire. Who dials sees the other's certificate
// first, so it is often the one that refuses.
func (w *wire) DialStream(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	c, err := w.s.port.Dial(ctx, to, nil, group.Gossip)
	if err != nil {
		if why := (*group.Refusal)(nil); errors.As(err, &why) {
			w.s.refuse(to, why)
		}
		return nil, err
	}
	return c, nil
}

// told is the address that the configuration says members reach this node at;
// invalid where it does not say so.
func (w *wire) told() netip.AddrPort {
	told := w.s.c.o.Advertise
	if told == "" {
		return netip.AddrPort{}
	}
	number := uint16(w.s.port.Number())
	if at, err := netip.ParseAddrPort(told); err == nil {
		return at
	}
	if a, err := netip.ParseAddr(told); err == nil {
		return netip.AddrPortFrom(a, number)
	}
	host, p, err := net.SplitHostPort(told)
	if err != nil {
		host, p = told, strconv.Itoa(int(number))
	}
	if all := resolve(w.s.ctx, net.JoinHostPort(host, p)); len(all) > 0 {
		return all[0]
	}
	return netip.AddrPort{}
}

// Advertise implements gossip.Wire: what members are told to dial. Invalid
// while this machine is on no LAN.
func (w *wire) Advertise() netip.AddrPort {
	if at := w.told(); at.IsValid() {
		w.also.Store(nil)
		return at
	}
	addrs := w.s.addrs()
	if len(addrs) == 0 {
		w.also.Store(nil)
		return netip.AddrPort{}
	}
	more := addrs[1:]
	w.also.Store(&more)
	return netip.AddrPortFrom(addrs[0], uint16(w.s.port.Number()))
}

// others are this node's addresses beside the advertised one, as many as are told.
func (w *wire) others() (m gossip.Meta) {
	if more := w.also.Load(); more != nil {
		copy(m.Also[:], *more)
	}
	return m
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
