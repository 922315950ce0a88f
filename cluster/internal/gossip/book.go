package gossip

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"dtpx/cluster/internal/group"
)

const (
	// entriesMax are names known at a time, alive or dead for less than
	// deadKeep. Nodes that have proven who they are may exceed it by
	// provenExtra, so that minted identities cannot keep them out.
	entriesMax  = 1024
	provenExtra = 256

	// sessionsMax is for one NodeID: two while an address changes, and room for
	// somebody's lie.
	sessionsMax = 4

	// perAddr is for one IP address: several nodes behind one are rare, and
	// minting identities needs addresses then.
	perAddr = 64

	// deadKeep is about as long as memberlist remembers a dead name.
	deadKeep = time.Minute
)

// entry is one session of a node, as memberlist knows it.
type entry struct {
	name, session string
	id            group.NodeID
	addr          netip.AddrPort
	meta          Meta
	since         time.Time // when it was first heard of
	alive         bool
	died          time.Time // or was heard of, while it has not been alive
}

// book bounds and merges what one instance of memberlist knows.
type book struct {
	self     group.NodeID
	loopback bool
	contacts *contacts
	near     func(netip.Addr) bool

	mu      sync.Mutex // guards entries
	entries map[string]*entry
}

var (
	errAddress  = errors.New("not an address to send to")
	errFull     = errors.New("too many entries")
	errSessions = errors.New("too many sessions of one node")
	errPerAddr  = errors.New("too many nodes at one address")
	errMetaSize = errors.New("too much metadata")
)

// admit judges a name that is said to be alive, before memberlist takes it.
func (b *book) admit(name string, addr netip.AddrPort, meta []byte, now time.Time) error {
	id, session, err := splitName(name)
	switch {
	case err != nil:
		return err
	case !reachable(addr.Addr(), b.loopback) || addr.Port() == 0:
		return errAddress
	case len(meta) > metaMax:
		return errMetaSize
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.roomLocked(name, id, addr, now); err != nil {
		return err
	}
	if b.entries[name] == nil {
		b.entries[name] = &entry{name: name, session: session, id: id, addr: addr, since: now, died: now}
	}
	return nil
}

// roomLocked says why there is no room for one more, nil if there is.
func (b *book) roomLocked(name string, id group.NodeID, addr netip.AddrPort, now time.Time) error {
	if b.entries[name] != nil {
		return nil
	}
	total := 0
	sessions, here, theirs := 0, 0, 0
	for key, e := range b.entries {
		if !e.alive && now.Sub(e.died) > deadKeep {
			delete(b.entries, key)
			continue
		}
		total++
		if e.id == id && e.alive {
			sessions++
		}
		if e.addr.Addr() == addr.Addr() {
			here++
			if e.id == id && e.alive {
				theirs++
			}
		}
	}
	if b.contacts.proven(id, addr.Addr()) {
		sessions, here, total = theirs, 0, total-provenExtra
	}
	switch {
	case total >= entriesMax:
		return errFull
	case sessions >= sessionsMax:
		return errSessions
	case here >= perAddr:
		return errPerAddr
	}
	return nil
}

// joined notes that a name is alive, or says something else of itself. Metadata
// that cannot be read counts as none: it is a hint.
func (b *book) joined(name string, addr netip.AddrPort, meta []byte) {
	m, _ := parseMeta(meta)
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.entries[name]; e != nil {
		e.alive, e.meta, e.addr = true, m, addr
	}
}

// left notes that a name is dead and says whose it was.
func (b *book) left(name string, now time.Time) (e entry, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.entries[name]
	if known == nil {
		return entry{}, false
	}
	known.alive, known.died = false, now
	return *known, true
}

// living are the entries alive, without this node's own.
func (b *book) living() (all []entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.entries {
		if e.alive && e.id != b.self {
			all = append(all, *e)
		}
	}
	return all
}

// members merges the sessions of each node; sorted by NodeID.
func (b *book) members() []Member {
	all := b.living()
	slices.SortFunc(all, func(x, y entry) int {
		return cmp.Or(slices.Compare(x.id[:], y.id[:]), b.rank(x.id, b.ways(x)[0])-b.rank(y.id, b.ways(y)[0]), y.since.Compare(x.since), cmp.Compare(x.name, y.name))
	})
	var out []Member
	for _, e := range all {
		if n := len(out); n == 0 || out[n-1].ID != e.id {
			out = append(out, Member{ID: e.id, Meta: e.meta, Since: e.since, Session: e.session})
		}
		m := &out[len(out)-1]
		for _, at := range b.ways(e) {
			if len(m.Addrs) < sessionsMax && !slices.Contains(m.Addrs, at) {
				m.Addrs = append(m.Addrs, at)
			}
		}
		if e.since.Before(m.Since) {
			m.Since = e.since
		}
	}
	return out
}
