package discover

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
)

// candidates are what one round of queries has found, bounded so that one host
// that shouts does not drown the others.
type candidates struct {
	mu    sync.Mutex // guards what follows
	heard map[netip.Addr]int
	found map[netip.AddrPort]int // how many the same sender had named before
	named map[netip.Addr]int
}

const (
	sendersMax   = 1024
	perSender    = 16 // packets looked at
	namedMax     = 4 * addrsMax
	foundMax     = 1024
	candidateMax = 64
)

func newCandidates() *candidates {
	return &candidates{heard: map[netip.Addr]int{}, found: map[netip.AddrPort]int{}, named: map[netip.Addr]int{}}
}

// hear reports whether a packet is worth looking at.
func (c *candidates) hear(from netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, known := c.heard[from]
	if n >= perSender || !known && len(c.heard) >= sendersMax {
		return false
	}
	c.heard[from] = n + 1
	return true
}

// add notes where a sender says that a member is. The address that it sent from
// comes first.
func (c *candidates) add(at netip.AddrPort, from netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rank := c.named[from] + 1
	if rank > namedMax || len(c.found) >= foundMax {
		return
	}
	c.named[from] = rank
	if at.Addr().WithZone("") == from.WithZone("") {
		rank = 0
	}
	if old, ok := c.found[at]; !ok || rank < old {
		c.found[at] = rank
	}
}

// list is at most candidateMax of them, in turn from each sender; which senders
// get a place is chance where there are too many.
func (c *candidates) list() []netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]netip.AddrPort, 0, len(c.found))
	for at := range c.found {
		out = append(out, at)
	}
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	slices.SortStableFunc(out, func(a, b netip.AddrPort) int { return c.found[a] - c.found[b] })
	return out[:min(len(out), candidateMax)]
}
