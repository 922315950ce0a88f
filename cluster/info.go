package cluster

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"dtpx/cluster/internal/group"
)

// Info is what /api/v1/peers answers.
type Info struct {
	Group   string   `json:"group"` // "" = in none
	Trusted bool     `json:"trusted"`
	Trouble string   `json:"trouble,omitempty"` // why there is no membership although there is a group
	Day     string   `json:"day,omitempty"`     // of the accounts
	Self    *Self    `json:"self,omitempty"`
	Days    []DaySum `json:"days,omitempty"` // newest first
	Members []Peer   `json:"members"`
	Note    string   `json:"note,omitempty"` // what a user may want to know
	Refused []Shut   `json:"refused,omitempty"`
}

// Self is this node as members see it.
type Self struct {
	Node      group.NodeID     `json:"node"`
	Name      string           `json:"name"`
	Addresses []netip.AddrPort `json:"addresses"`
	Lends     bool             `json:"lends"`
	Quota     int64            `json:"quota"`      // bytes per day; 0 = unlimited
	Left      int64            `json:"quota_left"` // -1 = unlimited
	Reset     time.Time        `json:"quota_reset"`
	Lent      int64            `json:"lent_today"`
	Borrowed  int64            `json:"borrowed_today"`
	Own       int64            `json:"own_today"` // this node's downloads over its own link
	Cap       int64            `json:"cap"`       // 0 = none
	Tunnels   int              `json:"tunnels"`   // members' streams that run through this node now
}

// Peer is a member.
type Peer struct {
	Node          group.NodeID     `json:"node"`
	Name          string           `json:"name"`
	State         string           `json:"state"` // here, gone, blocked
	Addresses     []netip.AddrPort `json:"addresses"`
	Lends         bool             `json:"lends"`
	Quota         int64            `json:"quota"`
	Left          int64            `json:"quota_left"` // by its own word; -1 = unlimited
	Rate          float64          `json:"rate"`       // bytes/s through it over the last seconds
	Streams       int              `json:"streams"`    // this node's through it
	LentToday     int64            `json:"lent_today"` // by this node to it
	Lent          int64            `json:"lent"`
	BorrowedToday int64            `json:"borrowed_today"` // by this node from it
	Borrowed      int64            `json:"borrowed"`
	Last          bool             `json:"served_last"`
	Trouble       string           `json:"trouble,omitempty"`
}

// Shut is a kind of handshake that was refused.
type Shut struct {
	Reason string    `json:"reason"`
	Times  int64     `json:"times"`
	Last   time.Time `json:"last"`
	From   string    `json:"from"` // the last one
}

const (
	stateHere    = "here"
	stateGone    = "gone"
	stateBlocked = "blocked"
)

// Info may be called at any time.
func (c *Cluster) Info() Info {
	s := c.current()
	if s == nil {
		i := Info{Group: c.o.Group.Name, Members: []Peer{}}
		if err := c.why(); err != nil {
			i.Trouble = err.Error()
			if file, err := loadGroup(c.o.Dir); err == nil && i.Group == "" {
				i.Group = file.Group.Name
			}
		}
		return i
	}
	day := c.ledger.Today()
	i := Info{Group: s.group.Name, Trusted: s.group.Trusted || s.c.o.Trust, Day: string(day), Self: s.self(), Days: c.days(), Members: []Peer{}}
	today, totals := c.ledger.Day(day), c.ledger.Totals()
	for _, p := range s.ranked() {
		i.Members = append(i.Members, p.info(today[keyOf(p.id)], totals[keyOf(p.id)]))
	}
	i.Members = append(i.Members, s.shutOut(i.Members, today, totals)...)
	i.Members = append(i.Members, s.unseen(i.Members, today, totals)...)
	slices.SortStableFunc(i.Members, func(a, b Peer) int { return cmp.Compare(a.Name, b.Name) })
	if i.Note = s.whyAway(); i.Note == "" {
		i.Note = note(i.Members)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i.Refused = s.refused.list()
	return i
}

// note says so when nothing is left to borrow.
func note(members []Peer) string {
	lenders, left := 0, 0
	for _, p := range members {
		if p.State == stateHere && p.Lends {
			lenders++
			left += b2i(p.Left != 0)
		}
	}
	if lenders > 0 && left == 0 {
		return "the members' quotas are used up: downloads come over this machine's own link"
	}
	return ""
}

// Here is the group, if this node is in one, and how many others are here.
func (c *Cluster) Here() (group string, others int) {
	s := c.current()
	if s == nil {
		return "", 0
	}
	for _, p := range s.ranked() {
		others += b2i(p.isAlive() && !s.isBlocked(p.id))
	}
	return s.group.Name, others
}

// shutOut are the blocked nodes that have not been seen in this session: one has
// to see them to let them in again.
func (s *session) shutOut(seen []Peer, today, totals map[string]bytesOf) (all []Peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.blocked {
		if !has(seen, id) {
			all = append(all, absent(id, stateBlocked, today, totals))
		}
	}
	return all
}

// unseenMax bounds those who are shown for their accounts only: keys can be minted.
const unseenMax = 64

// unseen are those who have an account today and have not been seen in this session:
// who asks what was lent wants to know to whom.
func (s *session) unseen(seen []Peer, today, totals map[string]bytesOf) (all []Peer) {
	for _, key := range largest(today) {
		id, err := group.ParseNodeID(key)
		if err != nil || has(seen, id) { // ownKey, ledger.Others
			continue
		}
		p := absent(id, stateGone, today, totals)
		p.Last = s.isLast(key)
		if all = append(all, p); len(all) == unseenMax {
			break
		}
	}
	return all
}

func has(list []Peer, id group.NodeID) bool {
	return slices.ContainsFunc(list, func(p Peer) bool { return p.Node == id })
}

// absent is a member of whom only the accounts are known.
func absent(id group.NodeID, state string, today, totals map[string]bytesOf) Peer {
	t, all := today[keyOf(id)], totals[keyOf(id)]
	return Peer{Node: id, State: state, Addresses: []netip.AddrPort{}, LentToday: t.Lent, Lent: all.Lent, BorrowedToday: t.Borrowed, Borrowed: all.Borrowed}
}

// Self is this node as members see it, nil in no group.
func (c *Cluster) Self() *Self {
	if s := c.current(); s != nil {
		return s.self()
	}
	return nil
}

func (s *session) self() *Self {
	l := s.c.o.Lend
	today := s.c.sum(s.c.ledger.Today())
	self := &Self{Node: s.key.ID(), Name: s.c.name(), Lends: l.Enabled, Quota: l.Quota, Left: -1, Reset: s.c.ledger.Reset(), Cap: s.c.o.Cap,
		Lent: today.Lent, Borrowed: today.Borrowed, Own: today.Own, Addresses: []netip.AddrPort{}}
	if l.Quota > 0 {
		self.Left = s.c.ledger.Left()
	}
	for _, a := range s.addrs() {
		self.Addresses = append(self.Addresses, netip.AddrPortFrom(a, uint16(s.port.Number())))
	}
	if s.relay != nil {
		self.Tunnels = s.relay.Stats().Open
	}
	return self
}

func (p *peer) info(today, totals bytesOf) Peer {
	last, blocked := p.s.isLast(keyOf(p.id)), p.s.isBlocked(p.id)
	now := p.s.c.o.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	i := Peer{
		Node: p.id, Name: clean(p.meta.Name), State: stateGone, Addresses: append([]netip.AddrPort{}, p.addrs...),
		Lends: p.meta.Lends, Quota: p.meta.Quota, Left: p.meta.Left, Rate: p.meter.rate(now), Streams: p.open,
		LentToday: today.Lent, Lent: totals.Lent, BorrowedToday: today.Borrowed, Borrowed: totals.Borrowed,
		Last: last, Trouble: p.trouble,
	}
	switch {
	case blocked:
		i.State = stateBlocked
	case p.alive:
		i.State = stateHere
	}
	return i
}

// WriteMetrics writes what Prometheus reads.
func (c *Cluster) WriteMetrics(w io.Writer) {
	i := c.Info()
	metric := func(name, kind, help string) {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	}
	if i.Self == nil {
		return
	}
	here := 0
	for _, p := range i.Members {
		here += b2i(p.State == stateHere)
	}
	metric("dtpx_peers", "gauge", "Members of the group that are here.")
	fmt.Fprintf(w, "dtpx_peers %d\n", here)
	metric("dtpx_lent_bytes_total", "counter", "Bytes that went over this node's internet link for members.")
	all := accounts(i.Members, c.ledger.Totals())
	for _, a := range all {
		fmt.Fprintf(w, "dtpx_lent_bytes_total{peer=%q} %d\n", a.peer, a.Lent)
	}
	metric("dtpx_borrowed_bytes_total", "counter", "Bytes that went over a member's internet link for this node.")
	for _, a := range all {
		fmt.Fprintf(w, "dtpx_borrowed_bytes_total{peer=%q} %d\n", a.peer, a.Borrowed)
	}
	metric("dtpx_lend_quota_left_bytes", "gauge", "What members may still borrow today; -1 is unlimited.")
	fmt.Fprintf(w, "dtpx_lend_quota_left_bytes %d\n", i.Self.Left)
	metric("dtpx_own_today_bytes", "gauge", "What this node's downloads have cost its own link today.")
	fmt.Fprintf(w, "dtpx_own_today_bytes %d\n", i.Self.Own)
	metric("dtpx_relay_tunnels", "gauge", "Members' streams that run through this node now.")
	fmt.Fprintf(w, "dtpx_relay_tunnels %d\n", i.Self.Tunnels)
	metric("dtpx_peer_refused_total", "counter", "Handshakes on the peer port that were refused, by reason.")
	for _, r := range i.Refused {
		fmt.Fprintf(w, "dtpx_peer_refused_total{reason=%q} %d\n", r.Reason, r.Times)
	}
}
