package certs

import (
	"container/list"
	"crypto/tls"
	"sync"
)

// maxLeaves bounds the cache: about 2 KiB each, and minting again is cheap.
const maxLeaves = 1024

// leafCache keeps the leaves used last. Concurrent first connections to one
// host (browsers open six) share one minting.
type leafCache struct {
	mu    sync.Mutex
	byKey map[string]*list.Element // of *leafEntry; guarded by mu
	order list.List                // most recently used first; guarded by mu
}

type leafEntry struct {
	host string
	once sync.Once
	cert *tls.Certificate // set by once, as err
	err  error
}

// Leaf returns the certificate for a host, minting it if there is none or if
// the one there is near its end.
func (a *Authority) Leaf(host string) (*tls.Certificate, error) {
	name, err := hostName(host)
	if err != nil {
		return nil, err
	}
	entry := a.leaves.get(name, nil)
	cert, err := entry.mint(a)
	if err != nil {
		a.leaves.drop(entry)
		return nil, err
	}
	if a.fresh(cert) {
		return cert, nil
	}
	return a.leaves.get(name, entry).mint(a)
}

func (e *leafEntry) mint(a *Authority) (*tls.Certificate, error) {
	e.once.Do(func() { e.cert, e.err = a.mintLeaf(e.host) })
	return e.cert, e.err
}

// fresh also fails where the clock was set back since the minting.
func (a *Authority) fresh(cert *tls.Certificate) bool {
	now := a.now()
	return now.After(cert.Leaf.NotBefore) && now.Before(cert.Leaf.NotAfter.Add(-renewBefore))
}

// get returns the entry for name, a new one if there is none or only stale.
func (c *leafCache) get(name string, stale *leafEntry) *leafEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[name]; ok {
		if e.Value != stale {
			c.order.MoveToFront(e)
			return e.Value.(*leafEntry)
		}
		c.removeLocked(e)
	}
	entry := &leafEntry{host: name}
	if c.byKey == nil {
		c.byKey = make(map[string]*list.Element)
	}
	c.byKey[name] = c.order.PushFront(entry)
	if c.order.Len() > maxLeaves {
		c.removeLocked(c.order.Back())
	}
	return entry
}

func (c *leafCache) drop(entry *leafEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[entry.host]; ok && e.Value == entry {
		c.removeLocked(e)
	}
}

func (c *leafCache) removeLocked(e *list.Element) {
	c.order.Remove(e)
	delete(c.byKey, e.Value.(*leafEntry).host)
}
