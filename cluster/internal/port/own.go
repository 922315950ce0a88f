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
