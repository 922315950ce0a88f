package port

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"dtpx/cluster/internal/group"
	"dtpx/internal/cork"
)

const (
	handshakeTime = 5 * time.Second
	handshakesMax = 64 // at a time, in all
	handshakesOne = 16 // at a time, of one address
)

// door counts those who have not shown yet who they are.
type door struct {
	mu  sync.Mutex
	all int
	of  map[netip.Addr]int
}

func newDoor() *door { return &door{of: map[netip.Addr]int{}} }

func (d *door) enter(a netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all >= handshakesMax || d.of[a] >= handshakesOne {
		return false
	}
	d.all++
	d.of[a]++
	return true
}

func (d *door) leave(a netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all--
	if d.of[a]--; d.of[a] == 0 {
		delete(d.of, a)
	}
}

func (p *Port) accept(s *socket) {
	for {
		c, err := s.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			if p.ctx.Err() != nil {
				return
			}
			p.o.Log.Warn("accept a peer", "err", err)
			select { // out of files: wait until some are closed
			case <-time.After(100 * time.Millisecond):
			case <-p.ctx.Done():
			}
			continue
		}
		from := addrPort(c.RemoteAddr())
		if !p.door.enter(from.Addr()) {
			c.Close()
			continue
		}
		p.wg.Go(func() { p.admit(c, from) })
	}
}

// admit does the handshake and hands the stream on.
func (p *Port) admit(raw net.Conn, from netip.AddrPort) {
	tune(raw)
	c, err := p.handshake(p.ctx, raw, func(under net.Conn) *tls.Conn {
		return tls.Server(under, p.server())
	})
	p.door.leave(from.Addr())
	if err != nil {
		p.refuse(raw, from, err)
		raw.Close()
		return
	}
	p.o.Handle(p.ctx, c)
}

func (p *Port) server() *tls.Config {
	c := p.o.Member.ServerConfig(p.o.Kinds...)
	c.DynamicRecordSizingDisabled = true // bulk, on a LAN
	return c
}

// handshake makes raw a stream. On error raw is left open.
func (p *Port) handshake(ctx context.Context, raw net.Conn, wrap func(net.Conn) *tls.Conn) (*Conn, error) {
	under := cork.New(raw)
	t := wrap(under)
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	state := t.ConnectionState()
	id, err := group.PeerID(state)
	if err != nil {
		return nil, err
	}
	if self, err := p.o.Member.Itself(state); err != nil {
		return nil, err
	} else if self {
		return nil, ErrSelf
	}
	c := &Conn{Conn: t, Peer: id, Kind: state.NegotiatedProtocol, raw: under, port: p}
	if !p.keep(c) {
		return nil, net.ErrClosed
	}
	return c, nil
}

// ErrSelf says that the other side is this node by another address.
var ErrSelf = errors.New("the other side is this node itself")

// refuse tells the log why, and a person who came with a browser what this is.
func (p *Port) refuse(raw net.Conn, from netip.AddrPort, err error) {
	if p.ctx.Err() != nil || errors.Is(err, ErrSelf) {
		return
	}
	why := group.Explain(err)
	var h tls.RecordHeaderError
	if errors.As(err, &h) && h.Conn != nil {
		_ = raw.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(raw, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"+
			"This is the peer port of dtpx: TLS, for members of its group only. The proxy listens elsewhere.\n")
	}
	if p.o.Refused != nil {
		p.o.Refused(from, why)
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
