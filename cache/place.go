package cache

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"dtpx/cache/internal/disk"
)

// Where several machines share what they have cached, a popular object should
// live at more than one of them, for one may be off, and not at all of them, or
// together they hold no more than one does. Which ones is not agreed upon: each
// puts itself and the others in an order that the key decides (rendezvous
// hashing), and what it is not among the first for goes earlier when room is
// needed. It is a preference only: nothing is thrown away for it, and nothing is
// sent to where it belongs.

const (
	// places is at how many machines an object is wanted.
	places = 2
	// elsewhere is the worth of a copy whose places are others: it has to be used
	// four times as often to stay as long as one that belongs here.
	elsewhere = 0.25
	// placeEvery is for how long the list of machines holds.
	placeEvery = 2 * time.Second
)

// placing knows which machines share. The zero value knows of none.
type placing struct{ latest atomic.Pointer[ring] }

// ring is the machines as they were a moment ago.
type ring struct {
	self   uint64
	others []uint64
}

// Place makes the cache prefer what belongs here by a hash over this machine and
// those of others that share their caches and are trusted. list returns names that
// stay with a machine and that all of them use for it; self is "" where this one
// shares nothing. It is called now and then until the cache is closed.
func (c *Cache) Place(list func() (self string, others []string)) {
	c.tasks.Go(func() {
		tick := time.NewTicker(placeEvery)
		defer tick.Stop()
		for {
			// Here and not where it is needed: there the store is locked.
			c.placing.latest.Store(newRing(list()))
			select {
			case <-c.ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// factor is what a copy of k is worth here, of 1. The store calls it under a lock,
// for each entry when room is needed.
func (p *placing) factor(k disk.Key) float64 {
	r := p.latest.Load()
	if r == nil || len(r.others) < places {
		return 1 // all of them are wanted, and this one
	}
	own, before := score(r.self, k), 0
	for _, o := range r.others {
		if s := score(o, k); s > own {
			if before++; before == places {
				return elsewhere
			}
		}
	}
	return 1
}

func newRing(self string, others []string) *ring {
	r := &ring{}
	if self == "" { // nobody counts on this one
		return r
	}
	r.self = nameHash(self)
	others = slices.Compact(slices.Sorted(slices.Values(others)))
	for _, o := range others {
		if o != self {
			r.others = append(r.others, nameHash(o))
		}
	}
	return r
}

// nameHash is FNV-1a, the same in all versions of dtpx.
func nameHash(name string) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range []byte(strings.ToLower(name)) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// score is how much a machine is one for k. Keys are SHA-256, of which any part
// is as good as random; mixing (splitmix64) makes the scores of two machines
// independent.
func score(machine uint64, k disk.Key) uint64 {
	x := binary.LittleEndian.Uint64(k[:]) ^ machine
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
