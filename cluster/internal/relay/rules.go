package relay

import (
	"fmt"
	"net/netip"
	"slices"

	"dtpx/internal/special"
)

// Rules say where a member may be taken: public unicast addresses and the ports
// lent. Everything that is not known to be public is refused.
type Rules struct {
	Ports []int
	// Allow opens addresses that are not public, never ports.
	Allow []netip.Prefix
	// Own are the subnets and addresses of the node's interfaces; asked at each
	// check, since they change. The public address of a router before it is not
	// known: what that forwards is in the internet's reach anyway.
	Own func() []netip.Prefix
}

// Forbidden is a target that is not lent to. Why is one word.
type Forbidden struct {
	Target netip.AddrPort
	Why    string
}

func (f *Forbidden) Error() string { return fmt.Sprintf("relay to %s: %s", f.Target, f.Why) }

// Check decides on an address as it is dialled. An IPv4 address in IPv6 clothes
// is refused even where its prefix is allowed, unless what is inside would pass.
func (r Rules) Check(to netip.AddrPort) error {
	if !slices.Contains(r.Ports, int(to.Port())) {
		return &Forbidden{to, "port"}
	}
	if why := r.refuse(to.Addr()); why != "" {
		return &Forbidden{to, why}
	}
	return nil
}

// refuse is the class for which a may not be dialled, "" if it may.
func (r Rules) refuse(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "invalid"
	case a.Zone() != "":
		return "zone"
	case a.Is4In6():
		return "mapped"
	}
	for _, p := range r.Allow {
		if p.Contains(a) {
			return r.inside(a, p)
		}
	}
	if why := special.Class(a); why != "" {
		return why
	}
	if r.Own != nil {
		for _, p := range r.Own() {
			if contains(p, a) {
				return "own"
			}
		}
	}
	return ""
}

// contains also understands a prefix given in mapped form (::ffff:10.0.0.0/104),
// as net.IPNet conversions make them.
func contains(p netip.Prefix, a netip.Addr) bool {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked().Contains(a)
}

// inside checks the IPv4 addresses that an allowed IPv6 address leads to.
func (r Rules) inside(a netip.Addr, allowed netip.Prefix) string {
	for _, v4 := range embedded(a, allowed.Bits()) {
		if why := r.refuse(v4); why != "" {
			return why
		}
	}
	return ""
}

// embedded are the IPv4 addresses to which a's packets go in the end.
func embedded(a netip.Addr, prefix int) []netip.Addr {
	if a.Is4() {
		return nil
	}
	b := a.As16()
	v4 := func(i, j, k, l int) netip.Addr { return netip.AddrFrom4([4]byte{b[i], b[j], b[k], b[l]}) }
	last := v4(12, 13, 14, 15)
	switch special.Class(a) {
	case "nat64", "compatible":
		return []netip.Addr{last}
	case "nat64-local": // where it sits depends on the prefix in use: RFC 6052 §2.2
		switch prefix {
		case 48:
			return []netip.Addr{v4(6, 7, 9, 10)}
		case 56:
			return []netip.Addr{v4(7, 9, 10, 11)}
		case 64:
			return []netip.Addr{v4(9, 10, 11, 12)}
		}
		return []netip.Addr{last}
	case "6to4":
		return []netip.Addr{v4(2, 3, 4, 5)}
	case "teredo": // RFC 4380 §4: server, and the client's address inverted
		c := last.As4()
		for i := range c {
			c[i] ^= 0xff
		}
		return []netip.Addr{v4(4, 5, 6, 7), netip.AddrFrom4(c)}
	}
	return nil
}
