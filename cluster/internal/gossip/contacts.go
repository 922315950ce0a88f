package gossip

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"dtpx/cluster/internal/group"
)

// contacts is what outlives an instance of memberlist: who has proven its key
// where, and who is gone.
type contacts struct {
	mu   sync.Mutex // guards what follows
	at   map[group.NodeID]proof
	node map[netip.AddrPort]group.NodeID // who answered a dial there
	gone map[netip.AddrPort]*lost
}

type proof struct {
	addr netip.Addr
	when time.Time
}

// lost is an address of a member that is not on the list any more.
type lost struct {
	id          group.NodeID
	when, tried time.Time
}

const (
	proofsMax = 1024
	goneMax   = 256
)

func newContacts() *contacts {
	return &contacts{at: map[group.NodeID]proof{}, node: map[netip.AddrPort]group.NodeID{}, gone: map[netip.AddrPort]*lost{}}
}

// prove notes that a handshake with id succeeded with an address. Its port is
// that of a dial, 0 if the far side dialled.
func (c *contacts) prove(id group.NodeID, at netip.AddrPort, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.at[id]; !known && len(c.at) >= proofsMax {
		delete(c.at, oldest(c.at, func(p proof) time.Time { return p.when }))
	}
	c.at[id] = proof{at.Addr(), now}
	if at.Port() == 0 {
		return
	}
	if len(c.node) >= proofsMax {
		clear(c.node) // costs a few joins too many
	}
	c.node[at] = id
}

// proven reports whether id was the last time seen at a.
func (c *contacts) proven(id group.NodeID, a netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.at[id]
	return ok && p.addr == a
}

// who answered at an address.
func (c *contacts) who(at netip.AddrPort) (id group.NodeID, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok = c.node[at]
	return id, ok
}

// lose remembers where a member was. Addresses that nobody has proven make room
// for others first: identities can be minted.
func (c *contacts) lose(id group.NodeID, at netip.AddrPort, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone[at] == nil && len(c.gone) >= goneMax {
		delete(c.gone, oldest(c.gone, func(l *lost) time.Time {
			if c.at[l.id].addr.IsValid() {
				return l.when
			}
			return time.Time{}
		}))
	}
	c.gone[at] = &lost{id: id, when: now}
}

// found is the opposite of lose.
func (c *contacts) found(at netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.gone, at)
}

// retryMost bounds the pause between two tries of one address. It is as long as the member
// had been gone at the last one: this machine may have moved to where nobody is.
const retryMost = 2 * time.Minute

func (l *lost) due(now time.Time) bool {
	return l.tried.IsZero() || now.Sub(l.tried).Abs() >= min(l.tried.Sub(l.when), retryMost)
}

// retry picks up to n addresses to try that are due, or all if woken; those first that
// waited longest, and none of nodes that are here by another address.
func (c *contacts) retry(n int, woken bool, here func(group.NodeID) bool, now time.Time) []netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	var due []netip.AddrPort
	for at, l := range c.gone {
		if !here(l.id) && (woken || l.due(now)) {
			due = append(due, at)
		}
	}
	slices.SortFunc(due, func(a, b netip.AddrPort) int {
		x, y := c.gone[a], c.gone[b]
		return cmp.Or(x.tried.Compare(y.tried), y.when.Compare(x.when), a.Compare(b))
	})
	due = due[:min(n, len(due))]
	for _, at := range due {
		c.gone[at].tried = now
	}
	return due
}

func oldest[K comparable, V any](m map[K]V, when func(V) time.Time) (key K) {
	var first time.Time
	found := false
	for k, v := range m {
		if t := when(v); !found || t.Before(first) {
			key, first, found = k, t, true
		}
	}
	return key
}
