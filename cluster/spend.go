package cluster

import (
	"math"
	"net/netip"
	"time"

	"dtpx/cluster/internal/gossip"
	"dtpx/cluster/internal/group"
	"dtpx/cluster/internal/ledger"
	"dtpx/cluster/internal/relay"
	ranges "dtpx/range"
)

// ownKey is under whom the ledger keeps what this node's own downloads cost its
// own link.
const ownKey = "self"

// Budget implements the engine's question who may bring how many of the next
// need bytes; -1 is no bound. srcs[0] is this machine's own link.
//
// To be fastest, only the own allowance binds: members end what goes over
// theirs themselves. To be fair, the bytes are spread so that the smallest
// remaining fraction of all allowances is as large as can be.
func (c *Cluster) Budget(_ ranges.Target, need int64, srcs []ranges.Source) []int64 {
	out := make([]int64, len(srcs))
	for i := range out {
		out[i] = -1
	}
	s := c.current()
	left := int64(math.MaxInt64)
	if c.o.Cap > 0 {
		left = c.left()
		out[0] = left
	}
	if s == nil || !c.o.Fair {
		return out
	}
	purses := []ledger.Allowance{{Left: left, Total: c.o.Cap}}
	at := []int{0}
	for i, src := range srcs {
		if p := s.peerOf(src); p != nil {
			purses, at = append(purses, p.allowance()), append(at, i)
		}
	}
	for i, share := range ledger.Fair(purses, need) {
		out[at[i]] = share
	}
	return out
}

// left is what this machine's allowance still has for today. There is one.
func (c *Cluster) left() int64 {
	c.charge() // what running downloads have spent counts, too
	return max(0, c.o.Cap-c.ledger.Day(c.ledger.Today())[ownKey].Borrowed)
}

// idleShare of the allowance is kept for what somebody waits for.
const idleShare = 4

// Spare reports whether n bytes of this machine's own link may go for what nobody
// waits for.
func (c *Cluster) Spare(n int64) bool {
	return c.o.Cap <= 0 || c.left()-n >= c.o.Cap/idleShare
}

func (s *session) peerOf(src ranges.Source) *peer {
	if src.Kind() != ranges.KindPeer {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		if p.source == src {
			return p
		}
	}
	return nil
}

// allowance is what the peer says it has left for all of us.
func (p *peer) allowance() ledger.Allowance {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.meta.Left < 0 {
		return ledger.Allowance{}
	}
	// It tells now and then; what came through it since is gone already.
	left := max(0, p.meta.Left-(p.borrowed-p.told))
	return ledger.Allowance{Left: left, Total: max(p.meta.Quota, p.meta.Left)}
}

// newRelay makes the lending side.
func (s *session) newRelay() *relay.Server {
	l := s.c.o.Lend
	return &relay.Server{
		Rules: relay.Rules{Ports: l.Ports, Allow: l.Allow, Own: s.ownNets},
		Meter: func(member string) relay.Account { return s.c.ledger.Lend(member) },
		Reset: s.c.ledger.Reset,
		Dial:  s.dialLent, Bound: s.bound, Last: s.isLast, Rate: l.Rate, Conns: l.Connections, Now: s.c.o.Now, Log: s.log,
	}
}

// ownNets are all subnets of this machine, whatever it lends by.
func (s *session) ownNets() (nets []netip.Prefix) {
	return s.c.own.nets(s.c.o.Now())
}

const (
	// strangerUse is what a member may have borrowed before it counts what it
	// lends: nobody begins with a merit.
	strangerUse = 64 << 20
	// freeRide is how many times more than it lends a member may borrow.
	freeRide = 4
)

// isLast reports that a member is served after the others: it borrows far more
// than it lends, or is not known yet although others are.
func (s *session) isLast(member string) bool {
	totals := s.c.ledger.Totals()
	delete(totals, ownKey)
	b, known := totals[member]
	if !known {
		return len(totals) > 0
	}
	return b.Lent > strangerUse && b.Lent > freeRide*b.Borrowed
}

// charge enters what the owner's own downloads have cost since the last time,
// and what was borrowed, into the ledger.
func (c *Cluster) charge() {
	m := &c.own
	m.mu.Lock()
	total := c.o.Spent()
	// A download that ends just now may be in neither count for a moment: the
	// sum falls, and what was charged once is not charged again.
	cost := total - m.charged
	m.charged = max(m.charged, total)
	m.mu.Unlock()
	if cost > 0 && (c.o.Cap > 0 || c.current() != nil) { // nobody else asks
		_ = c.ledger.Borrowed(ownKey, cost) // it counts; the ledger repairs its file
	}
	if s := c.current(); s != nil {
		s.settle()
	}
}

// settle enters what came through peers.
func (s *session) settle() {
	for _, p := range s.ranked() {
		p.mu.Lock()
		n := p.borrowed - p.settled
		p.settled = p.borrowed
		p.mu.Unlock()
		if n > 0 {
			_ = s.c.ledger.Borrowed(p.id.String(), n)
		}
	}
}

// meta is what members are told: hints, nothing is secured or charged by them.
func (s *session) meta() gossip.Meta {
	l := s.c.o.Lend
	m := s.wire.others()
	m.Name, m.Lends, m.Rate, m.Left = s.c.name(), l.Enabled, l.Rate, -1
	if s.c.o.ShareVersion != nil {
		m.Digest = s.c.o.ShareVersion()
	}
	if l.Quota > 0 {
		m.Quota, m.Left = l.Quota, s.c.ledger.Left()
		if m.Left < relay.Least { // no tunnel comes about with that
			m.Left = 0
		}
	}
	return m
}

const (
	tellEvery = 5 * time.Second
	tellStep  = 16 << 20 // or a sixteenth of a smaller quota
	// tellLate is for what changed less: fair shares are reckoned by it.
	tellLate = 15 * time.Second
	// tellLast is where the end of a quota is near: who was refused asks again when
	// something is said to be left, and what a tunnel did not use comes back.
	tellLast = 4 * relay.Step
)

// tell lets members know when what they are told has changed noticeably, or the
// quota left at all for a while.
func (s *session) tell() {
	now, at := s.meta(), s.c.o.Now()
	s.mu.Lock()
	due := isNews(s.told, now, at.Sub(s.toldAt).Abs())
	if due {
		s.told, s.toldAt = now, at
	}
	s.mu.Unlock()
	if due {
		s.pool.Update()
	}
}

// isNews reports that members who were told was, so long ago, are to be told now.
func isNews(was, now gossip.Meta, ago time.Duration) bool {
	if ago <= tellEvery {
		return false
	}
	diff, step := max(was.Left-now.Left, now.Left-was.Left), min(tellStep, max(1, now.Quota/16))
	return diff > step || (was.Left == 0) != (now.Left == 0) || was.Name != now.Name || was.Digest != now.Digest || was.Also != now.Also ||
		diff > 0 && (ago > tellLate || now.Left < tellLast)
}

// keyOf is a member's key in the ledger.
func keyOf(id group.NodeID) string { return id.String() }
