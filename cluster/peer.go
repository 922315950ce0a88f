package cluster

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"dtpx/cluster/internal/gossip"
	"dtpx/cluster/internal/group"
	ranges "dtpx/range"
)

// peer is what this node knows of one member. All but the first fields is
// guarded by mu.
type peer struct {
	s      *session
	id     group.NodeID
	source ranges.Source // nil: Options.Base is
	cache  *http.Transport

	mu       sync.Mutex
	addrs    []netip.AddrPort // where it says it is, best first
	meta     gossip.Meta      // what it says of itself
	alive    bool
	trouble  string       // why the last attempt failed; "" if it did not
	until    time.Time    // does not lend before
	spent    bool         // … because its quota was used up
	without  [2]time.Time // until when it counts as without IPv6, IPv4
	open     int          // streams that this node has open through it
	asking   int          // … and asks for
	borrowed int64        // bytes through it in this session
	settled  int64        // of them entered into the ledger
	told     int64        // borrowed when it last said what it has left
	meter    meter
}

// peersMax bounds what is known: keys can be minted. Members that are alive go
// first, those that were never used last.
const peersMax = 1024

// changed takes the list of living members from gossip.
func (s *session) changed(list []gossip.Member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	alive := map[group.NodeID]bool{}
	for _, m := range list {
		alive[m.ID] = true
		p := s.peers[m.ID]
		if p == nil {
			if len(s.peers) >= peersMax && !s.evictLocked() {
				continue
			}
			p = s.newPeer(m)
			s.peers[m.ID] = p
		}
		if p.update(m) {
			s.rememberLocked(m.Addrs)
			s.log.Info("peer is here", "peer", p.name(), "address", m.Addrs[0].Addr())
		}
	}
	for id, p := range s.peers {
		if !alive[id] && p.lost() {
			s.log.Info("peer is gone", "peer", p.name())
		}
	}
}

// evictLocked makes room by forgetting one that is gone.
func (s *session) evictLocked() bool {
	for id, p := range s.peers {
		if !p.isAlive() {
			delete(s.peers, id)
			return true
		}
	}
	return false
}

func (s *session) newPeer(m gossip.Member) *peer {
	p := &peer{s: s, id: m.ID}
	p.cache = p.cacheTransport()
	if s.c.o.Base != nil {
		p.source = &source{ranges.NewDialer(s.c.o.Base, ranges.KindPeer, m.ID.Short(), p.dial), p}
	}
	return p
}

// source is the way through a peer, named as that calls itself now.
type source struct {
	ranges.Source
	p *peer
}

// Name implements ranges.Source.
func (s *source) Name() string { return s.p.name() }

// label tells members apart, for people.
func label(m gossip.Member) string {
	if name := clean(m.Meta.Name); name != "" {
		return name + " " + m.ID.Short()
	}
	return m.ID.Short()
}

// clean makes a name that a member chose fit for terminals and logs.
func clean(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_.", r) {
			return r
		}
		return -1
	}, name)
	if r := []rune(name); len(r) > 32 {
		name = string(r[:32])
	}
	return name
}

// update is true when the peer was not here before.
func (p *peer) update(m gossip.Member) (arrived bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	news := m.Meta.Left != p.meta.Left
	if !p.alive || !slices.Equal(p.addrs, m.Addrs) || news && p.spent && m.Meta.Left != 0 {
		p.until, p.trouble, p.spent = time.Time{}, "", false
	}
	arrived = !p.alive
	if news {
		p.told = p.borrowed
	}
	p.addrs, p.meta, p.alive = slices.Clone(m.Addrs), m.Meta, true
	return arrived
}

func (p *peer) lost() (left bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	left = p.alive
	p.alive = false
	return left
}

func (p *peer) isAlive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alive
}

func (p *peer) addresses() []netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.addrs)
}

func (p *peer) name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return label(gossip.Member{ID: p.id, Meta: p.meta})
}

// lends reports whether asking this peer makes sense now.
func (p *peer) lends(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alive && p.meta.Lends && p.meta.Left != 0 && !now.Before(p.until)
}

// peersFile keeps where members were, for a start where mDNS does not reach.
const peersFile = "peers.json"

// peersKept bounds it.
const peersKept = 64

// rememberLocked puts a member's addresses before those known.
func (s *session) rememberLocked(addrs []netip.AddrPort) {
	for _, a := range addrs {
		s.known = slices.Insert(slices.DeleteFunc(s.known, func(k netip.AddrPort) bool { return k == a }), 0, a)
	}
	s.known = s.known[:min(len(s.known), peersKept)]
	s.unsaved = true
}

func (s *session) save() {
	s.mu.Lock()
	addrs, fresh := slices.Clone(s.known), s.unsaved
	s.unsaved = false
	s.mu.Unlock()
	if !fresh {
		return
	}
	b, err := json.Marshal(addrs)
	if err != nil {
		return
	}
	path := filepath.Join(s.c.o.Dir, peersFile)
	if err = os.WriteFile(path+".new", b, 0o600); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		s.log.Debug("cannot remember where members are", "err", err)
	}
}

// loadPeers reads it; it is only a help.
func loadPeers(dir string) (addrs []netip.AddrPort) {
	b, err := os.ReadFile(filepath.Join(dir, peersFile))
	if err != nil || json.Unmarshal(b, &addrs) != nil {
		return nil
	}
	return addrs[:min(len(addrs), peersKept)]
}
