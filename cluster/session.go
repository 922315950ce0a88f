package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
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

	joins  chan struct{} // held while somebody that was found is asked
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex // guards what follows
	blocked   []group.NodeID
	peers     map[group.NodeID]*peer // all that were seen in this session, bounded
	heard     []netip.AddrPort       // found by mDNS, newest last
	refused   refusals
	lent      int64 // of the relay's bytes, in lentMeter
	lentMeter meter
	told      gossip.Meta // what members were last told
	toldAt    time.Time
	known     []netip.AddrPort // where members were, newest first
	unsaved   bool             // known has changed since save
	lastRun   time.Time        // of tick, by the wall clock: a gap is a sleep
}

const (
	heardMax  = 64
	joinsMax  = 4 // at a time: a forged advert must not hold up a true one
	wokeAfter = 10 * time.Second
)

func newSession(c *Cluster, g group.Group, key group.NodeKey, blocked []group.NodeID) (*session, error) {
	keys, err := g.Keys()
	if err != nil {
		return nil, err
	}
	s := &session{c: c, group: g, key: key, log: c.o.Log, blocked: blocked,
		peers: map[group.NodeID]*peer{}, joins: make(chan struct{}, joinsMax), lastRun: time.Now().Round(0)}
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
	s.told = s.meta()
	s.pool, err = gossip.Start(gossip.Options{
		ID: s.key.ID(), Keyring: keys.GossipKeys(), Wire: s.wire, Meta: s.meta,
		Changed: s.changed, Seeds: s.seeds, Log: s.log,
	})
	if err != nil {
		return fmt.Errorf("start membership: %w", err)
	}
	if o.MDNS {
		s.mdns = discover.Start(discover.Options{
			Keys: keys, Port: s.port.Number(), Interfaces: s.interfaces, Addrs: s.addrs,
			Advertise: s.wire.Advertise(), Found: s.found, Now: o.Now, Log: s.log,
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

// found is an address that carries our group's tag.
func (s *session) found(at netip.AddrPort) {
	if s.isOwn(at) {
		return
	}
	s.mu.Lock()
	fresh := !slices.Contains(s.heard, at)
	if fresh {
		if len(s.heard) == heardMax {
			s.heard = s.heard[1:]
		}
		s.heard = append(s.heard, at)
	}
	known := s.knowsLocked(at)
	s.mu.Unlock()
	if known {
		return
	}
	select {
	case s.joins <- struct{}{}:
		s.wg.Go(func() { defer func() { <-s.joins }(); s.join([]netip.AddrPort{at}) })
	default: // membership asks for all that was heard of, in its time
	}
}

// knowsLocked reports that a living member is at an address.
func (s *session) knowsLocked(at netip.AddrPort) bool {
	for _, p := range s.peers {
		if p.isAlive() && slices.Contains(p.addresses(), at) {
			return true
		}
	}
	return false
}

func (s *session) join(addrs []netip.AddrPort) {
	addrs = slices.DeleteFunc(slices.Clone(addrs), s.isOwn)
	if len(addrs) == 0 || s.ctx.Err() != nil {
		return
	}
	if n, err := s.pool.Join(addrs...); n == 0 && err != nil {
		s.log.Debug("join", "addresses", addrs, "err", err)
	}
}

// seeds are where members may be: configured, last known, heard of.
func (s *session) seeds() []netip.AddrPort {
	s.mu.Lock()
	all := slices.Clone(s.heard)
	s.mu.Unlock()
	for _, at := range s.c.o.Join {
		ctx, cancel := context.WithTimeout(s.ctx, 3*time.Second)
		all = append(all, resolve(ctx, at)...)
		cancel()
	}
	return append(all, loadPeers(s.c.o.Dir)...)
}

func resolve(ctx context.Context, hostport string) (out []netip.AddrPort) {
	host, number, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil
	}
	n, _ := strconv.ParseUint(number, 10, 16)
	addrs, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	for _, a := range addrs {
		out = append(out, netip.AddrPortFrom(a.Unmap(), uint16(n)))
	}
	return out
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
	s.save()
	s.tell()
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

func (s *session) interfaceNames() []string {
	names := map[string]bool{}
	for _, at := range s.port.Places() {
		names[at.Interface] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// addrs are this node's addresses on its LANs.
func (s *session) addrs() (all []netip.Addr) {
	for _, at := range s.port.Places() {
		all = append(all, at.Prefix.Addr())
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

func (s *session) isOwn(at netip.AddrPort) bool {
	return int(at.Port()) == s.port.Number() && slices.Contains(s.addrs(), at.Addr())
}
