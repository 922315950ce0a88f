package cache

import (
	"context"
	"net/http/httptrace"
	"net/netip"
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

// public tells m whether its origin is, as far as this visit has seen.
func (v *visit) public(m *meta) {
	if r := reach(v.reach.Load()); r != reachUnknown {
		m.Public = r == reachPublic
	}
}

var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"),
}

// isPublic reports an address that everybody reaches (RFC 6890). What only might
// be one, such as IPv4 inside IPv6, is none.
func isPublic(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
