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
	Index     int          // of the interface: one that was plugged in again is another one
	Prefix    netip.Prefix // the address, with the length of its subnet

	// Guest says that the address is another interface's in the same subnet. Linux
	// answers ARP for it on this one, too, so packets for it may come here.
	Guest bool
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
				places = append(places, Place{Interface: ifc.Name, Index: ifc.Index, Prefix: p})
			}
		}
	}
	if tied {
		places = append(places, guests(places)...)
	}
	return places, nil
}

// Unnamed lists the interfaces that are none of a LAN only because nobody has named
// them: their addresses are public, as on a campus.
func Unnamed() (names []string) {
	all, _ := net.Interfaces()
	for _, ifc := range all {
		if ifc.Flags&(net.FlagLoopback|net.FlagPointToPoint) != 0 {
			continue
		}
		if places, err := LAN([]string{ifc.Name}); err == nil && len(places) > 0 {
			names = append(names, ifc.Name)
		}
	}
	return names
}

// guestsOf is how many places may have guests: they grow by its square, and a server
// with hundreds of addresses is no laptop that is on a LAN twice.
const guestsOf = 32

// guests are the places where packets for an address come in that is not the
// interface's own: with a cable and Wi-Fi in one subnet.
func guests(places []Place) (all []Place) {
	if len(places) > guestsOf {
		return nil
	}
	for _, at := range places {
		for _, by := range places {
			g := Place{by.Interface, by.Index, at.Prefix, true}
			if by.Index != at.Index && at.Prefix.Addr().Is4() && by.Prefix.Masked() == at.Prefix.Masked() && !slices.Contains(all, g) {
				all = append(all, g)
			}
		}
	}
	return all
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
