package discover

import (
	"net"
	"net/netip"
	"slices"
)

// link is an interface as it was at the last look.
type link struct {
	ifc      net.Interface
	prefixes []netip.Prefix // its addresses
}

const linksMax = 16

// linksOf keeps the interfaces that multicast can be sent on.
func linksOf(all []net.Interface) (links []link) {
	for _, ifc := range all {
		if ifc.Flags&net.FlagUp == 0 || ifc.Flags&net.FlagMulticast == 0 || len(links) == linksMax {
			continue
		}
		addrs, _ := ifc.Addrs() // of one that has just gone: none
		l := link{ifc: ifc}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				l.prefixes = append(l.prefixes, netip.PrefixFrom(p.Addr().WithZone("").Unmap(), p.Bits()))
			}
		}
		slices.SortFunc(l.prefixes, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
		links = append(links, l)
	}
	return links
}

// has reports whether the link has an address of a family.
func (l link) has(f family) bool {
	return slices.ContainsFunc(l.prefixes, func(p netip.Prefix) bool { return p.Addr().Is4() == f.v4 })
}

// onLink reports that an address is of one of the link's networks. Networks as
// wide as a provider's are none.
func (l link) onLink(a netip.Addr) bool {
	a = a.WithZone("")
	for _, p := range l.prefixes {
		wide := p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 48
		if p.Contains(a) && !wide {
			return true
		}
	}
	return false
}

// candidate is the form in which an address of an advert may be dialled, if at
// all: private, link-local or ULA unicast, or of one of the link's networks, which
// are public on some campuses. So an advert makes nobody dial the internet or
// itself. Link-local IPv6 needs the zone.
func (l link) candidate(a netip.Addr) (netip.Addr, bool) {
	switch {
	case !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast():
		return a, false
	case a.Is6() && a.IsLinkLocalUnicast():
		return a.WithZone(l.ifc.Name), true
	}
	return a, a.IsPrivate() || a.IsLinkLocalUnicast() || l.onLink(a)
}

// tells are the addresses to advertise on the link: the link's own if the node has any
// there, else (behind a router that translates) what others are told.
func (l link) tells(all []netip.Addr) (out []netip.Addr) {
	for _, a := range all {
		a = a.WithZone("").Unmap()
		mine := slices.ContainsFunc(l.prefixes, func(p netip.Prefix) bool { return p.Addr() == a })
		if !slices.Contains(out, a) && (mine || !a.Is6() || !a.IsLinkLocalUnicast()) {
			out = append(out, a)
		}
	}
	// Who is on this link has no use for addresses on others, and no need to know them.
	if slices.ContainsFunc(out, l.onLink) {
		out = slices.DeleteFunc(out, func(a netip.Addr) bool { return !l.onLink(a) })
	}
	return out[:min(len(out), addrsMax)]
}
