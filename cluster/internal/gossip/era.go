package gossip

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// era is one instance of memberlist: one session at one address.
type era struct {
	at     netip.AddrPort
	book   *book
	wire   *transport
	list   *memberlist.Memberlist
	events events
}

// Times and bounds. With them a silent member is off all lists after about 6 s
// among few and 9 to 12 s among fifty, and an idle member of fifty sends about
// 30 KB a minute, handshakes included (TestFifty).
const (
	probeEvery    = time.Second
	probeTimeout  = 500 * time.Millisecond
	suspicionMult = 4 // a suspect has 4 to 7 s to answer: Wi-Fi pauses, and laptops stutter
	suspicionMax  = 2 // and at most twice that where nobody else suspects it
	slowestProbe  = 2 // times probeEvery, for a node that believes itself slow
	compareEvery  = 20 * time.Second
	streamTimeout = 4 * time.Second
	// sendMult times the digits of the number of members is how often each node
	// sends each news on, to members chosen at random. memberlist's 4 leaves
	// somebody out in every tenth join of eight nodes, until lists are compared.
	sendMult = 10
	// News is looked for every gossipEvery and told to gossipTo members. There is
	// none most of the time, and each look wakes the machine: memberlist's 200 ms
	// and three members spread it as fast.
	gossipEvery = 300 * time.Millisecond
	gossipTo    = 4
	// crcLen is what memberlist adds to packets without counting it.
	crcLen = 5
)

func newEra(o Options, at netip.AddrPort, c *contacts, meta func() []byte, changed func()) (*era, error) {
	keyring, err := memberlist.NewKeyring(o.Keyring, o.Keyring[0])
	if err != nil {
		return nil, fmt.Errorf("gossip keys: %w", err)
	}
	e := &era{
		at:   at,
		book: &book{self: o.ID, loopback: at.Addr().IsLoopback(), contacts: c, near: o.Near, entries: map[string]*entry{}},
	}
	e.wire = newTransport(o.Wire, at, e.book, o.Now)
	name := nodeName(o.ID, newSession())
	e.events = events{self: name, book: e.book, contacts: c, now: o.Now, meta: meta, changed: changed}

	conf := memberlist.DefaultLANConfig()
	conf.Name, conf.Transport, conf.Keyring = name, e.wire, keyring
	conf.Logger = newLogger(o.Log, o.Now)
	conf.Delegate, conf.Events, conf.Alive = &e.events, &e.events, &e.events
	conf.ProbeInterval, conf.ProbeTimeout = probeEvery, probeTimeout
	conf.SuspicionMult, conf.SuspicionMaxTimeoutMult = suspicionMult, suspicionMax
	conf.RetransmitMult, conf.GossipInterval, conf.GossipNodes = sendMult, gossipEvery, gossipTo
	conf.AwarenessMaxMultiplier = slowestProbe
	conf.PushPullInterval, conf.TCPTimeout = compareEvery, streamTimeout
	conf.EnableCompression = false // LZW of a hundred bytes costs more than it saves
	conf.UDPBufferSize = packetMax - crcLen
	conf.DNSConfigPath = "" // everything is an address
	if e.list, err = memberlist.Create(conf); err != nil {
		e.wire.cancel()
		return nil, fmt.Errorf("start memberlist: %w", err)
	}
	return e, nil
}

// join compares lists with whoever is at an address. It takes up to two
// streamTimeouts.
func (e *era) join(to netip.AddrPort) error {
	_, err := e.list.Join([]string{joinAddress(to)})
	if why, ok := e.wire.failed.LoadAndDelete(to); ok && err != nil {
		err = why.(error) // memberlist keeps its text only
	}
	if err != nil {
		return fmt.Errorf("join %s: %w", to, err)
	}
	return nil
}

// known reports that whoever is at an address is on the list already.
func (e *era) known(at netip.AddrPort) bool {
	who, answered := e.book.contacts.who(at)
	for _, each := range e.book.living() {
		if each.isAt(at) || answered && each.id == who {
			return true
		}
	}
	return answered && who == e.book.self
}

// events are memberlist's callbacks. They run under its locks, so they must not
// call it.
type events struct {
	self     string
	book     *book
	contacts *contacts
	now      func() time.Time
	meta     func() []byte
	changed  func()
}

func addrOf(n *memberlist.Node) netip.AddrPort {
	a, _ := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(a.Unmap(), n.Port)
}

// NotifyAlive implements memberlist.AliveDelegate. One member with odd protocol
// versions would make everybody refuse everybody's list, so it is refused here.
func (v *events) NotifyAlive(n *memberlist.Node) error {
	if n.Name == v.self {
		return nil
	}
	const spoken = memberlist.ProtocolVersion2Compatible
	if n.PMin > spoken || n.PMax < spoken || n.PCur != spoken || n.DMin != 0 {
		return fmt.Errorf("protocol versions %d to %d", n.PMin, n.PMax)
	}
	return v.book.admit(n.Name, addrOf(n), n.Meta, v.now())
}

// NotifyJoin implements memberlist.EventDelegate.
func (v *events) NotifyJoin(n *memberlist.Node) {
	v.book.joined(n.Name, addrOf(n), n.Meta)
	v.contacts.found(addrOf(n))
	v.changed()
}

// NotifyUpdate implements memberlist.EventDelegate.
func (v *events) NotifyUpdate(n *memberlist.Node) {
	v.book.joined(n.Name, addrOf(n), n.Meta)
	v.changed()
}

// NotifyLeave implements memberlist.EventDelegate.
func (v *events) NotifyLeave(n *memberlist.Node) {
	if e, ok := v.book.left(n.Name, v.now()); ok && e.id != v.book.self {
		v.book.lose(e, v.now())
	}
	v.changed()
}

// NodeMeta implements memberlist.Delegate.
func (v *events) NodeMeta(int) []byte { return v.meta() }

// NotifyMsg implements memberlist.Delegate. There are no messages of ours.
func (v *events) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (v *events) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (v *events) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (v *events) MergeRemoteState([]byte, bool) {}

// packet hands on what may be one of memberlist's, or drops it.
func (e *era) packet(p Packet) {
	if len(p.Buf) <= encryptedNone || p.Buf[0] != encryptVsn {
		return
	}
	at := p.At
	if at.IsZero() {
		at = time.Now()
	}
	select {
	case e.wire.packets <- &memberlist.Packet{Buf: p.Buf, From: net.UDPAddrFromAddrPort(p.From), Timestamp: at}:
	default:
	}
}
