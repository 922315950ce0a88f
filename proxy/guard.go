package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// ErrForbidden is in the chain of errors for targets that a client must not
// reach through this machine.
var ErrForbidden = errors.New("target is not reachable through the proxy")

// Guard decides which addresses clients that are not on loopback may be
// connected to: not this machine's loopback, not link-local ones (cloud
// metadata services), not dtpx itself. What matters is the address dialled
// after DNS, so put Control into the dialer that serves such clients.
// The zero value is ready.
type Guard struct {
	mu    sync.RWMutex
	ports map[uint16]bool // ports that dtpx listens on; guarded by mu
}

// Add tells the guard an address that this process listens on.
func (g *Guard) Add(a net.Addr) {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ports == nil {
		g.ports = make(map[uint16]bool)
	}
	g.ports[ap.Port()] = true
}

// Check refuses an address that must not be dialled for others.
func (g *Guard) Check(ap netip.AddrPort) error {
	addr := embedded(ap.Addr())
	switch {
	case addr.IsLoopback(), addr.IsUnspecified(), thisNetwork.Contains(addr):
		return fmt.Errorf("%w: %s is this machine's loopback", ErrForbidden, ap.Addr())
	case addr.IsLinkLocalUnicast(), addr.IsMulticast(), addr == broadcast, addr == metadata6:
		return fmt.Errorf("%w: %s is a link-local address", ErrForbidden, ap.Addr())
	case g.Own(netip.AddrPortFrom(addr, ap.Port())):
		return fmt.Errorf("%w: %s is dtpx itself", ErrForbidden, ap)
	}
	return nil
}

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8") // Linux takes 0.0.0.0 for loopback
	broadcast   = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	nat64       = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	compatible  = netip.MustParsePrefix("::/96")        // RFC 4291 §2.5.5.1
	metadata6   = netip.MustParseAddr("fd00:ec2::254")  // EC2's metadata over IPv6
)

// embedded takes an IPv4 address out of the IPv6 forms that carry one.
func embedded(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() || addr == netip.IPv6Loopback() || addr == netip.IPv6Unspecified() {
		return addr
	}
	if nat64.Contains(addr) || compatible.Contains(addr) {
		b := addr.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return addr
}

// Own tells whether ap is one of the addresses that dtpx listens on.
func (g *Guard) Own(ap netip.AddrPort) bool {
	g.mu.RLock()
	listening := g.ports[ap.Port()]
	g.mu.RUnlock()
	return listening && ownAddr(ap.Addr().Unmap())
}

// ownAddr asks the system each time: addresses come and go with networks.
func ownAddr(addr netip.Addr) bool {
	if addr.IsLoopback() || addr.IsUnspecified() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == addr {
			return true
		}
	}
	return false
}

// Control is for net.Dialer.Control: it sees each address before the first
// packet leaves.
func (g *Guard) Control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrForbidden, address)
	}
	return g.Check(ap)
}

// Dialer checks what base connected to, for dialers that have no Control.
// The connection is made and closed again; not a byte passes.
func (g *Guard) Dialer(base DialFunc) DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if err := g.CheckHost(addr); err != nil {
			return nil, err
		}
		c, err := base(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if err := g.Control(network, c.RemoteAddr().String(), nil); err != nil {
			c.Close()
			return nil, err
		}
		return c, nil
	}
}

// CheckHost refuses a host:port that names a forbidden address in any spelling
// known to a C library. It does not resolve names.
func (g *Guard) CheckHost(hostport string) error {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host, port = hostport, "0"
	}
	addr, ok := literal(host)
	if !ok {
		return nil
	}
	n, _ := strconv.ParseUint(port, 10, 16)
	return g.Check(netip.AddrPortFrom(addr, uint16(n)))
}

// ownHost tells whether a host, as spelt in a URL, is this machine.
func (g *Guard) ownHost(host string) bool {
	addr, ok := literal(host)
	return ok && ownAddr(embedded(addr))
}

// literal reads an address without DNS: usual forms, the names of loopback
// (RFC 6761 §6.3), and the decimal, hex, octal and short forms of inet_aton.
func literal(host string) (netip.Addr, bool) {
	host = canonicalHost(host)
	switch {
	case host == "localhost", strings.HasSuffix(host, ".localhost"), host == "localhost.localdomain",
		host == "ip6-localhost", host == "ip6-loopback":
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), true
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.WithZone(""), true
	}
	return inetAton(host)
}

// inetAton reads 1 to 4 numbers, the last of which fills what is left.
func inetAton(host string) (netip.Addr, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var ip uint64
	for i, p := range parts {
		// Base 0 takes 0x and 0 as C does; its 0b, 0o and _ are no addresses
		// anywhere, and refusing those too hurts nobody.
		n, err := strconv.ParseUint(p, 0, 32)
		if err != nil {
			return netip.Addr{}, false
		}
		last := i == len(parts)-1
		if !last && n > 255 || last && n >= 1<<(8*(4-i)) {
			return netip.Addr{}, false
		}
		if last {
			ip = ip<<(8*(4-i)) | n
		} else {
			ip = ip<<8 | n
		}
	}
	return netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)}), true
}
