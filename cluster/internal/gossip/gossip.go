// Package gossip knows which members of a group are alive, and the little that
// each says of itself: hashicorp/memberlist over the peer port.
//
// A node tells its name in memberlist's sense, "<NodeID>.<session>", one address
// and up to 512 bytes of Meta, with more addresses if it is on several LANs. The session is random and made anew whenever the
// node starts or its address changes, so restarts, DHCP, sleep and someone who
// advertises another's identity never meet memberlist's rules for conflicting
// names: whoever lies can only add an entry. Members merges sessions by NodeID,
// addresses at which that very node has proven its key first.
//
//	every second          probe one member; silent for about 10 s: gone
//	every 20 to 40 s      compare the whole list with one member
//	every 10 to 30 s      try a few that are gone, and Options.Seeds
//	the address changed   another session; the old one dies by itself
//
// Not guaranteed: that an entry is who it says it is (the handshake with that
// NodeID tells), that everybody has the same list at the same time, and anything
// that Meta says. Strangers cost little; a member who means harm can forge
// messages about the death of others, which hides them until their next session,
// and make this node spend memory and CPU, but not end it.
package gossip

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"dtpx/cluster/internal/group"
)

// Options is what a Pool needs. All but Seeds, Near, Now and Log are required.
type Options struct {
	ID      group.NodeID
	Keyring [][]byte // group.Keys.GossipKeys: the first one encrypts
	Wire    Wire

	// Meta is asked by Start and Update.
	Meta func() Meta

	// Changed gets the list as Members gives it, after every change, one call
	// at a time. It must not call Close.
	Changed func([]Member)

	// Seeds are more addresses where members may be: configured, found by
	// mDNS, last known. They are asked for every 10 to 30 s.
	Seeds func() []netip.AddrPort

	// Near reports whether an address is another machine's on a LAN that this one is
	// on; nil: none is. It is asked for each packet.
	Near func(netip.Addr) bool

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: none
}

// Wire is how membership travels: packets and streams of the peer port. Its
// methods may be called concurrently, also after the Pool was closed.
//
// Where a stream has a method ConnectionState, as a *tls.Conn has, the far
// side's NodeID is taken from it as proof of who is at that address.
type Wire interface {
	// WriteTo sends one packet of at most 1400 bytes. It does not block.
	WriteTo(b []byte, to netip.AddrPort) error

	// Packets are those received. Buf is the reader's to keep.
	Packets() <-chan Packet

	// DialStream opens a stream of the kind group.Gossip to any member.
	DialStream(ctx context.Context, to netip.AddrPort) (net.Conn, error)

	// Streams are those accepted, handshake done. They are the reader's to
	// close.
	Streams() <-chan net.Conn

	// Advertise is where members shall reach this node; invalid while it is on
	// no LAN.
	Advertise() netip.AddrPort
}

// Packet is a packet received.
type Packet struct {
	Buf  []byte
	From netip.AddrPort
	At   time.Time
}

// Member is a living member other than this node.
type Member struct {
	ID    group.NodeID
	Addrs []netip.AddrPort // 1 to 4: those near first, then proven ones, then the newest
	Meta  Meta             // of the session that the first address belongs to

	// Since is when this node first heard of it, of the oldest session that is
	// still alive.
	Since   time.Time
	Session string // of the first address
}
