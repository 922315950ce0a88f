package relay

import (
	"fmt"
	"net/netip"
	"slices"
)

// Rules say where a member may be taken: public unicast addresses and the ports
// lent. Everything that is not known to be public is refused.
type Rules struct {
	Ports []int
	// Allow opens addresses that are not public, never ports.
	Allow []netip.Prefix
	// Own are the node's subnets and its own addresses, the public one too;
	// asked at each check, since they change.
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
	if why := classOf(a); why != "" {
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
	switch classOf(a) {
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

type class struct {
	prefix netip.Prefix
	name   string
}

func classOf(a netip.Addr) string {
	for _, c := range classes {
		if c.prefix.Contains(a) {
			return c.name
		}
	}
	if a.Is6() && !globalUnicast.Contains(a) {
		return "reserved"
	}
	return ""
}

// globalUnicast is all of IPv6 that is given out (RFC 4291 §2.4, IANA).
var globalUnicast = netip.MustParsePrefix("2000::/3")

// classes follow IANA's special-purpose registries; first match counts.
var classes = []class{
	// Clouds' metadata services, named so that the log is; the last one is
	// Azure's, which has a public address.
	{netip.MustParsePrefix("169.254.169.254/32"), "metadata"},
	{netip.MustParsePrefix("169.254.170.2/32"), "metadata"},
	{netip.MustParsePrefix("100.100.100.200/32"), "metadata"},
	{netip.MustParsePrefix("192.0.0.192/32"), "metadata"},
	{netip.MustParsePrefix("fd00:ec2::/32"), "metadata"},
	{netip.MustParsePrefix("fd20:ce::254/128"), "metadata"},
	{netip.MustParsePrefix("168.63.129.16/32"), "metadata"},

	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "cgnat"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation"},
	{netip.MustParsePrefix("192.31.196.0/24"), "reserved"},
	{netip.MustParsePrefix("192.52.193.0/24"), "reserved"},
	{netip.MustParsePrefix("192.88.99.0/24"), "reserved"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("192.175.48.0/24"), "reserved"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmark"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("255.255.255.255/32"), "broadcast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},

	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("::/96"), "compatible"},
	{netip.MustParsePrefix("64:ff9b::/96"), "nat64"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "nat64-local"},
	{netip.MustParsePrefix("2001::/32"), "teredo"},
	{netip.MustParsePrefix("2001:2::/48"), "benchmark"},
	{netip.MustParsePrefix("2001::/23"), "reserved"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation"},
	{netip.MustParsePrefix("2002::/16"), "6to4"},
	{netip.MustParsePrefix("3fff::/20"), "documentation"},
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}
