package port

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Place is one address of this machine on one of its LANs.
type Place struct {
	Interface string
	Prefix    netip.Prefix // the address, with the length of its subnet
}

// LAN lists the places on the interfaces named, or where none is named on all
// that have a private address. Of an interface that was not named only private
// addresses count: the global ones of IPv6 are reached from everywhere.
func LAN(names []string) ([]Place, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var places []Place
	for _, ifc := range all {
		if ifc.Flags&net.FlagUp == 0 || len(names) > 0 && !slices.Contains(names, ifc.Name) {
			continue
		}
		// Point-to-point links are VPNs: others are behind them, not a LAN.
		if len(names) == 0 && ifc.Flags&(net.FlagLoopback|net.FlagPointToPoint) != 0 {
			continue
		}
		addrs, err := ifc.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, a := range addrs {
			if p, ok := prefixOf(a); ok && usable(p.Addr(), len(names) > 0) {
				places = append(places, Place{ifc.Name, p})
			}
		}
	}
	return places, nil
}

func prefixOf(a net.Addr) (netip.Prefix, bool) {
	n, ok := a.(*net.IPNet)
	if !ok {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits), ok
}

// usable leaves link-local addresses out: they mean nothing without a zone,
// and every LAN with IPv6 alone has others.
func usable(a netip.Addr, named bool) bool {
	if a.IsPrivate() {
		return true
	}
	return named && (a.IsGlobalUnicast() || a.IsLoopback())
}
