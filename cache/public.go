package cache

import (
	"context"
	"net/http/httptrace"
	"net/netip"

	"dtpx/internal/special"
)

// reach is what the connection to an origin has shown: only what comes from a
// public address is offered to neighbours. A name may lead to a machine of this
// house or company, whatever it looks like.
type reach int32

const (
	reachUnknown reach = iota // nobody has connected, or a parent proxy has
	reachPublic
	reachPrivate
)

// watchReach returns a context whose requests note where they connect to.
func (v *visit) watchReach(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		to := reachPrivate
		if a, err := netip.ParseAddrPort(i.Conn.RemoteAddr().String()); err == nil && v.c.o.public(a.Addr().Unmap()) {
			to = reachPublic
		}
		v.reach.Store(int32(to))
	}})
}

// public tells m whether its origin is, as far as this visit has seen, and whether
// everybody is given the link that it asked for.
func (v *visit) public(m *meta) {
	m.Open = m.Open || v.open()
	if r := reach(v.reach.Load()); r != reachUnknown {
		m.Public = r == reachPublic
	}
}

// isPublic reports an address that everybody reaches.
func isPublic(a netip.Addr) bool { return special.Class(a) == "" }
