package gossip

import (
	"net/netip"
	"slices"
	"time"

	"dtpx/cluster/internal/group"
)

// A machine may be on several LANs, and memberlist knows one address of each node. What
// it sends to a node goes to that of the addresses which is on a LAN of this machine.

// The lower, the better is an address of a node.
const (
	nearProven = iota // on a LAN of ours, and the node has proven its key there
	near
	proven
	neither
)

func (b *book) rank(id group.NodeID, at netip.AddrPort) int {
	here, known := b.near != nil && b.near(at.Addr()), b.contacts.proven(id, at.Addr())
	switch {
	case here && known:
		return nearProven
	case here:
		return near
	case known:
		return proven
	}
	return neither
}

// ways are the addresses at which e may answer, best first; always the one that it
// was told of by, and those of its metadata that this machine can know.
func (b *book) ways(e entry) []netip.AddrPort {
	all := []netip.AddrPort{e.addr}
	for _, a := range e.meta.Also {
		at := netip.AddrPortFrom(a, e.addr.Port())
		if reachable(a, b.loopback) && a != e.addr.Addr() && b.rank(e.id, at) < neither {
			all = append(all, at)
		}
	}
	slices.SortStableFunc(all, func(x, y netip.AddrPort) int { return b.rank(e.id, x) - b.rank(e.id, y) })
	return all
}

// route is where to send what memberlist sends to a name at an address.
func (b *book) route(name string, to netip.AddrPort) netip.AddrPort {
	b.mu.Lock()
	e := b.entries[name]
	if e == nil || e.addr != to || e.meta.Also == [alsoMax]netip.Addr{} {
		b.mu.Unlock()
		return to
	}
	known := *e
	b.mu.Unlock()
	return b.ways(known)[0]
}

// isAt reports that e says that it is at an address.
func (e *entry) isAt(at netip.AddrPort) bool {
	return e.addr == at || at.Port() == e.addr.Port() && slices.Contains(e.meta.Also[:], at.Addr())
}

// lose remembers where e was.
func (b *book) lose(e entry, now time.Time) {
	for _, at := range b.ways(e) {
		b.contacts.lose(e.id, at, now)
	}
}
