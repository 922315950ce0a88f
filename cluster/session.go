package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"dtpx/cluster/internal/discover"
	"dtpx/cluster/internal/gossip"
	"dtpx/cluster/internal/group"
	"dtpx/cluster/internal/port"
	"dtpx/cluster/internal/relay"
)

// session is this node in one group with one secret. Another secret is another
// session: closing this one ends every stream that was made with it.
type session struct {
	c      *Cluster
	group  group.Group
	key    group.NodeKey
	member *group.Member
	log    *slog.Logger

	port  *port.Port
	relay *relay.Server // nil: does not lend
	share *sharing      // nil: shares nothing
	pool  *gossip.Pool
	mdns  *discover.Service // nil: switched off
	wire  *wire

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex // guards what follows
	blocked []group.NodeID
	peers   map[group.NodeID]*peer // all that were seen in this session, bounded
	heard   []netip.AddrPort       // found by mDNS
	unasked []netip.AddrPort       // of them, as soon as it is their turn
	askers  int                    // goroutines that ask them
	refused refusals
	lending lending
	told    gossip.Meta // what members were last told
	toldAt  time.Time
	known   []netip.AddrPort // where members were, newest first
	unsaved bool             // known has changed since save
	lastRun time.Time        // of tick, by the wall clock: a gap is a sleep
	away    int              // ticks since this machine was on a LAN
}

const (
	heardMax  = 64
	askersMax = 8 // a forged advert holds one up for seconds, and must not hold up a true one
	wokeAfter = 10 * time.Second
	awayAfter = 10 // ticks: Wi-Fi and DHCP take some seconds
)

func newSession(c *Cluster, g group.Group, key group.NodeKey, blocked []group.NodeID) (*session, error) {
	keys, err := g.Keys()
	if err != nil {
		return nil, err
	}
	s := &session{c: c, group: g, key: key, log: c.o.Log, blocked: blocked,
		lending: lending{bound: math.Inf(1)},
		peers:   map[group.NodeID]*peer{}, lastRun: time.Now().Round(0)}
	if s.member, err = group.NewMember(keys, key, c.o.Now, s.isBlocked); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wire = newWire(s)
	if err := s.open(keys); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) open(keys *group.Keys) error {
	o := s.c.o
	host, number, err := splitListen(o.Listen)
	if err != nil {
		return err
	}
	kinds := []string{group.Gossip}
	if o.Lend.Enabled {
		s.relay = s.newRelay()
		kinds = append(kinds, group.Relay)
	}
	if o.Share != nil {
		s.share = newSharing(o.Share)
		s.wg.Go(s.share.run)
		kinds = append(kinds, group.Cache)
	}
	s.port, err = port.Open(port.Options{
		Number: number, Host: host, Interfaces: o.Interfaces, Member: s.member, Kinds: kinds,
		Handle: s.handle, Changed: s.moved, Refused: s.refuse, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.wg.Go(func() { s.wire.pump(s.ctx) })
	s.wire.Advertise() // what is told of other addresses depends on it
	s.told = s.meta()
	s.pool, err = gossip.Start(gossip.Options{
		ID: s.key.ID(), Keyring: keys.GossipKeys(), Wire: s.wire, Meta: s.meta,
		Changed: s.changed, Seeds: s.seeds, Near: s.port.Near, Log: s.log,
	})
	if err != nil {
		return fmt.Errorf("start membership: %w", err)
	}
	if o.MDNS {
		s.mdns = discover.Start(discover.Options{
			Keys: keys, Port: s.port.Number(), Interfaces: s.interfaces, Addrs: s.addrs,
			Advertise: s.wire.told(), Found: s.found, Now: o.Now, Log: s.log,
		})
	}
	s.wg.Go(func() { s.join(s.seeds()) })
	return nil
}

// splitListen reads cluster.listen.
func splitListen(listen string) (netip.Addr, int, error) {
	host, number, err := net.SplitHostPort(listen)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("cluster.listen: %w", err)
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("cluster.listen: no port in %q", listen)
	}
	if host == "" {
		return netip.Addr{}, n, nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("cluster.listen: %q is no address", host)
	}
	return addr.Unmap(), n, nil
}

// same reports that g and key make this very session.
func (s *session) same(g group.Group, key group.NodeKey) bool {
	return s.group.Name == g.Name && s.group.Trusted == g.Trusted && s.group.Secret.Equal(g.Secret) && s.key.ID() == key.ID()
}

// close says goodbye to the members and ends everything.
func (s *session) close() {
	s.save()
	s.cancel()
	if s.mdns != nil {
		s.mdns.Close()
	}
	if s.pool != nil {
		s.pool.Leave(time.Second)
		s.pool.Close()
	}
	if s.relay != nil {
		s.relay.Close()
	}
	if s.share != nil {
		s.share.stop()
	}
	if s.port != nil {
		s.port.Close()
	}
	s.wg.Wait()
}

// handle is a stream that a member opened.
func (s *session) handle(ctx context.Context, c *port.Conn) {
	switch c.Kind {
	case group.Gossip:
		s.wire.take(c)
	case group.Relay:
		if evil := s.c.o.evil; evil != nil {
			evil(ctx, c)
			return
		}
		_ = s.relay.ServeConn(ctx, c, keyOf(c.Peer)) // logged there
	case group.Cache:
		if s.share == nil || !s.share.enter() {
			c.Close()
			return
		}
		defer s.share.leave()
		s.share.serve(ctx, c)
	default:
		c.Close()
	}
}

func (s *session) isBlocked(id group.NodeID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.blocked, id)
}

// block makes list the blocked nodes and ends what runs with them.
func (s *session) block(list []group.NodeID) {
	s.mu.Lock()
	same := slices.Equal(s.blocked, list)
	s.blocked = slices.Clone(list)
	s.mu.Unlock()
	if same {
		return
	}
	s.port.Drop(func(id group.NodeID) bool { return slices.Contains(list, id) })
	s.log.Info("blocked nodes changed", "count", len(list))
}

// refuse counts and logs handshakes that failed by the group's rules.
func (s *session) refuse(from netip.AddrPort, why *group.Refusal) {
	if why.Reason == group.RefusedByPeer || why.Reason == group.Broken { // it was not we who refused
		s.log.Debug("handshake with a peer failed", "from", from, "reason", string(why.Reason))
		return
	}
	s.mu.Lock()
	say, n := s.refused.add(why.Reason, from.Addr(), s.c.o.Now())
	s.mu.Unlock()
	if !say {
		return
	}
	args := []any{"from", from, "reason", string(why.Reason), "times", n}
	if why.Node != (group.NodeID{}) {
		args = append(args, "claims", why.Node.Short())
	}
	s.log.Warn("refused a peer", args...)
}

// moved follows a change of this machine's addresses.
func (s *session) moved() {
	if s.pool != nil { // the port opens before the pool does
		s.pool.Rejoin()
	}
	if s.mdns != nil {
		s.mdns.Poke()
	}
}

// tick is called about once a second.
func (s *session) tick() {
	now := time.Now().Round(0) // the monotonic clock stands still in a sleep
	s.mu.Lock()
	slept := now.Sub(s.lastRun) > wokeAfter
	s.lastRun = now
	s.mu.Unlock()
	if slept {
		s.log.Info("woke up; looking for the group again")
		s.moved()
	}
	s.saySoIfAway()
	s.save()
	s.tell()
}

func (s *session) saySoIfAway() {
	away := s.port.Away()
	s.mu.Lock()
	if s.away++; !away {
		s.away = 0
	}
	now := s.away == awayAfter
	s.mu.Unlock()
	if now {
		s.log.Warn("nobody finds this machine", "why", s.whyAway())
	}
}

// whyAway is why this machine listens nowhere, for people; "" where it does.
func (s *session) whyAway() string {
	if !s.port.Away() {
		return ""
	}
	o := s.c.o
	if host, _, err := splitListen(o.Listen); err == nil && host.IsValid() {
		return fmt.Sprintf("no interface for members has the address of cluster.listen, %s", host)
	}
	if len(o.Interfaces) > 0 {
		return "none of cluster.interfaces is up with an address: " + strings.Join(o.Interfaces, ", ")
	}
	if names := port.Unnamed(); len(names) > 0 {
		return "no interface has a private address; the one that leads to the other members has to be named in cluster.interfaces (" + strings.Join(names, ", ") + ")"
	}
	return "this machine is on no local network now"
}

func (s *session) interfaces() []net.Interface {
	var all []net.Interface
	for _, name := range s.interfaceNames() {
		if ifc, err := net.InterfaceByName(name); err == nil {
			all = append(all, *ifc)
		}
	}
	return all
}

// interfaceNames are those of the LANs, in the order of their places.
func (s *session) interfaceNames() (names []string) {
	for _, at := range s.port.Places() {
		if !slices.Contains(names, at.Interface) {
			names = append(names, at.Interface)
		}
	}
	return names
}

// addrs are this node's addresses on its LANs, those first that others are told.
func (s *session) addrs() (all []netip.Addr) {
	for _, at := range s.port.Places() {
		all = append(all, at.Prefix.Addr())
	}
	return all
}

func (s *session) isOwn(at netip.AddrPort) bool {
	return int(at.Port()) == s.port.Number() && slices.Contains(s.addrs(), at.Addr())
}
