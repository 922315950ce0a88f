package port

import (
	"net"
	"net/netip"
)

// Own lists all addresses of this machine, with their subnets.
func Own() (all []netip.Prefix) {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, ok := prefixOf(a); ok {
			all = append(all, p)
		}
	}
	return all
}

// preferred is the address by which this machine reaches the internet, invalid where
// it does not.
func preferred() netip.Addr {
	return source(netip.MustParseAddrPort("192.0.2.1:9")) // of no machine (RFC 5737)
}

// source is the address from which the kernel would send to another one, invalid where
// there is no way. Nothing is sent: a connected UDP socket has its source address.
func source(to netip.AddrPort) netip.Addr {
	c, err := net.Dial("udp", to.String())
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return addrPort(c.LocalAddr()).Addr()
}
