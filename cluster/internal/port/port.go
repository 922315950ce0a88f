// Package port is the peer port: streams (TCP with mutual TLS) and packets (UDP
// of the same number) between members of a group, on LAN addresses only.
//
//	lan.go    which addresses of this machine count
//	port.go   one listener and one packet socket for each, following changes
//	accept.go handshakes: bounded, judged by the group's rules, refusals told
//	dial.go   streams to members
//	conn.go   what both give
//
// What a stream is for is agreed in its handshake (ALPN).
package port

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"dtpx/cluster/internal/group"
)

// Options of a Port. Member and Handle are needed.
type Options struct {
	Number     int        // 0 takes a free one, the same for all addresses
	Host       netip.Addr // listen on this address only; invalid is all that LAN gives
	Interfaces []string   // as LAN takes them
	Member     *group.Member
	Kinds      []string // of streams accepted; none is all
	// Handle gets each stream that was accepted and owns it. It is called on
	// a goroutine of its own, for which Close waits.
	Handle func(ctx context.Context, c *Conn)
	// Changed is called, never concurrently, when the addresses have changed.
	Changed func()
	// Refused is told of each handshake that failed by the group's rules.
	Refused func(from netip.AddrPort, why *group.Refusal)
	Log     *slog.Logger
}

// Packet is one UDP datagram.
type Packet struct {
	Data []byte
	From netip.AddrPort
	At   time.Time
}

const (
	look       = 2 * time.Second  // how often it is asked whether addresses have changed
	lookAnyway = 30 * time.Second // how often they are listed in any case
	packetMax  = 2 << 10          // more than any member sends
	packetsMax = 256              // waiting to be taken
)

// Port is open until Close. It is safe for concurrent use.
type Port struct {
	o       Options
	number  int
	packets chan Packet
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	door    *door

	mu      sync.Mutex // guards what follows
	closed  bool
	sockets map[Place]*socket
	lacks   bool // a place that cannot be listened at yet
	conns   map[*Conn]struct{}
}

// socket is what listens at one place.
type socket struct {
	place Place
	tcp   net.Listener
	udp   *net.UDPConn
	inner bool // its interface is
}

// Open listens. An error says that nothing can be listened on for a reason
// that will not go away by itself; that there is no LAN now is none.
func Open(o Options) (*Port, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Port{o: o, number: o.Number, packets: make(chan Packet, packetsMax), door: newDoor(),
		sockets: map[Place]*socket{}, conns: map[*Conn]struct{}{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	news := newChanges() // before the first look, so that none is missed
	if _, err := p.follow(); err != nil {
		news.close()
		p.Close()
		return nil, err
	}
	p.wg.Go(func() { p.watch(news) })
	return p, nil
}

// Number is the port's number, 0 as long as one is to be chosen and there is no
// place to listen.
func (p *Port) Number() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.number
}

// Places are where the port listens now, without guests: first the one by which this
// machine reaches the internet, last the networks of its own containers. There may be
// more than can be told to others.
func (p *Port) Places() []Place {
	best := preferred()
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Place
	for place := range p.sockets {
		if !place.Guest {
			all = append(all, place)
		}
	}
	slices.SortFunc(all, func(x, y Place) int {
		a, b := x.Prefix.Addr(), y.Prefix.Addr()
		return cmp.Or(b2i(b == best)-b2i(a == best), b2i(p.sockets[x].inner)-b2i(p.sockets[y].inner),
			b2i(a.Is6())-b2i(b.Is6()), a.Compare(b), cmp.Compare(x.Index, y.Index))
	})
	return all
}

// Away reports that there is no place to listen at.
func (p *Port) Away() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sockets) == 0
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Near reports whether an address is another machine's on a LAN of this one. Networks
// of containers have the same address on many machines: that is this one's own.
func (p *Port) Near(a netip.Addr) (near bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for place := range p.sockets {
		if place.Prefix.Addr() == a {
			return false
		}
		near = near || place.Prefix.Contains(a)
	}
	return near
}

// Packets are those that came, dropped if nobody takes them.
func (p *Port) Packets() <-chan Packet { return p.packets }

// watch follows changes of the addresses: DHCP, cables, sleep.
func (p *Port) watch(news *changes) {
	defer news.close()
	tick := time.NewTicker(look)
	defer tick.Stop()
	warned, last, failed := "", time.Now(), false
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
		}
		if told := news.any(); !told && !failed && !p.lacking() && time.Since(last) < lookAnyway {
			continue
		}
		last = time.Now()
		changed, err := p.follow()
		failed = err != nil
		if err != nil && err.Error() != warned {
			p.o.Log.Warn("peer port", "err", err)
			warned = err.Error()
		}
		if changed && p.o.Changed != nil {
			p.o.Changed()
		}
	}
}

// lacking reports that the next look may find what the last one could not.
func (p *Port) lacking() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lacks
}

// follow opens and closes sockets until they fit the addresses.
func (p *Port) follow() (changed bool, err error) {
	places, err := LAN(p.o.Interfaces)
	if err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false, nil
	}
	if h := p.o.Host; h.IsValid() && !h.IsUnspecified() {
		places = slices.DeleteFunc(places, func(at Place) bool { return at.Prefix.Addr() != h })
	}
	want := map[Place]bool{}
	for _, at := range places {
		want[at] = true
	}
	for at, s := range p.sockets {
		if !want[at] {
			s.close()
			delete(p.sockets, at)
			changed = true
		}
	}
	p.forsakeLocked(Own())
	var errs []error
	defer func() { p.lacks = len(errs) > 0 }()
	for _, at := range places { // guests come last
		if p.sockets[at] != nil {
			continue
		}
		s, err := p.listenLocked(at)
		if err != nil && at.Guest {
			continue // a socket that could not be bound to its interface hears it all
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.sockets[at] = s
		p.wg.Go(func() { p.accept(s) })
		p.wg.Go(func() { p.receive(s) })
		changed = true
	}
	if len(p.sockets) == 0 && len(errs) > 0 {
		return changed, errors.Join(errs...)
	}
	for _, err := range errs {
		p.o.Log.Debug("peer port", "err", err) // an address that is about to come or go
	}
	return changed, nil
}

// forsakeLocked closes the streams from addresses that this machine has no more: nothing
// comes by them, and nobody says so.
func (p *Port) forsakeLocked(own []netip.Prefix) {
	if len(own) == 0 {
		return // not known
	}
	for c := range p.conns {
		from := addrPort(c.LocalAddr()).Addr().WithZone("")
		if !slices.ContainsFunc(own, func(o netip.Prefix) bool { return o.Addr() == from }) {
			c.NetConn().Close()
		}
	}
}

func (p *Port) listenLocked(at Place) (*socket, error) {
	addr := func() string { return net.JoinHostPort(at.Prefix.Addr().String(), strconv.Itoa(p.number)) }
	cfg := net.ListenConfig{Control: bound(at.Interface), KeepAliveConfig: keepAlive}
	tcp, err := cfg.Listen(p.ctx, "tcp", addr())
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("peer port %s is in use: another dtpx may be running; choose another with cluster.listen", addr())
	} else if err != nil {
		return nil, fmt.Errorf("listen for peers: %w", err)
	}
	p.number = tcp.Addr().(*net.TCPAddr).Port
	udp, err := cfg.ListenPacket(p.ctx, "udp", addr())
	if err != nil {
		tcp.Close()
		return nil, fmt.Errorf("listen for peers: %w", err)
	}
	return &socket{at, tcp, udp.(*net.UDPConn), inner(at.Interface)}, nil
}

func (s *socket) close() {
	s.tcp.Close()
	s.udp.Close()
}

func (p *Port) receive(s *socket) {
	buf := make([]byte, packetMax)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n == packetMax {
			if p.ctx.Err() != nil {
				return
			}
			continue // Windows reports ICMP here
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		select {
		case p.packets <- Packet{append([]byte(nil), buf[:n]...), from, time.Now()}:
		default: // a flood; members send again
		}
	}
}

// WriteTo sends one packet from the place nearest to its destination.
func (p *Port) WriteTo(b []byte, to netip.AddrPort) error {
	s := p.toward(to)
	if s == nil {
		return fmt.Errorf("no LAN address to reach %s from", to)
	}
	_, err := s.udp.WriteToUDPAddrPort(b, to)
	return err
}

// toward is the socket to send from: that of the one LAN where to is. Where it is on
// none or on several ones, the kernel knows by which it goes.
func (p *Port) toward(to netip.AddrPort) *socket {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all, on []*socket
	for at, s := range p.sockets {
		if at.Guest || at.Prefix.Addr().Is4() != to.Addr().Is4() {
			continue
		}
		all = append(all, s)
		if at.Prefix.Contains(to.Addr()) {
			on = append(on, s)
		}
	}
	if len(on) == 0 {
		on = all
	}
	return by(on, to)
}

// by is the one that the kernel's route goes by, else any; nil of none.
func by(some []*socket, to netip.AddrPort) *socket {
	if len(some) == 0 {
		return nil
	}
	if len(some) > 1 {
		own := source(to)
		if i := slices.IndexFunc(some, func(s *socket) bool { return s.place.Prefix.Addr() == own }); i >= 0 {
			return some[i]
		}
	}
	return some[0]
}

// Drop closes the streams whose peer is out.
func (p *Port) Drop(out func(group.NodeID) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if out(c.Peer) {
			c.NetConn().Close()
		}
	}
}

// Close ends everything: sockets, streams, and their handlers, and waits.
func (p *Port) Close() {
	p.cancel()
	p.mu.Lock()
	p.closed = true
	for at, s := range p.sockets {
		s.close()
		delete(p.sockets, at)
	}
	for c := range p.conns {
		c.NetConn().Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// keep has c closed with the port; false means that it is closed already.
func (p *Port) keep(c *Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.NetConn().Close()
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Port) forget(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}
