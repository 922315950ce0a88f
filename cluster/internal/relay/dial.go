package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// addrsMax bounds how many addresses of a name are tried.
const addrsMax = 4

// DialTCP is what Server.Dial is if nothing else.
func DialTCP(ctx context.Context, to netip.AddrPort, check Control) (net.Conn, error) {
	d := net.Dialer{Control: check}
	return d.DialContext(ctx, "tcp", to.String())
}

// connect reaches t by an address that the rules allow. Names are resolved here
// and dialled by address, so that no second look-up can answer differently.
func (s *Server) connect(ctx context.Context, t target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Connect)
	defer cancel()
	addrs := []netip.Addr{t.addr}
	if t.name != "" {
		var err error
		if addrs, err = s.Resolve(ctx, t.name); err != nil || len(addrs) == 0 {
			return nil, &refusal{status: 502, reason: "resolve", err: err}
		}
	}
	// One that is forbidden does not hide one that cannot be reached: a
	// member that gave a good name shall hear 502.
	var last error
	for _, a := range addrs[:min(len(addrs), addrsMax)] {
		if t.name != "" {
			a = a.Unmap() // resolvers return IPv4 in either form; what is dialled is IPv4
		}
		c, err := s.reach(ctx, netip.AddrPortFrom(a, t.port), time.Duration(len(addrs)))
		if err == nil {
			return c, nil
		}
		if f := (*Forbidden)(nil); last == nil || !errors.As(err, &f) {
			last = err
		}
	}
	if f := (*Forbidden)(nil); t.name != "" && errors.As(last, &f) && f.Why != "port" {
		// Which kind of address a name of our own network has is nobody's business.
		last = &refusal{status: 403, reason: "address", err: last}
	}
	return nil, last
}

// reach dials one address and gives it its part of the time.
func (s *Server) reach(ctx context.Context, to netip.AddrPort, parts time.Duration) (net.Conn, error) {
	if err := s.Rules.Check(to); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Connect/min(parts, addrsMax))
	defer cancel()
	c, err := s.Dial(ctx, to, func(_, address string, _ syscall.RawConn) error { return s.dialled(address) })
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", to, err)
	}
	if err := s.dialled(c.RemoteAddr().String()); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// dialled checks what the dialler really connects to.
func (s *Server) dialled(address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &Forbidden{Why: "invalid"}
	}
	return s.Rules.Check(netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
}
