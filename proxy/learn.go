package proxy

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// Certificates get installed and programs updated: what was learnt is
	// tried again after this.
	learntFor = 24 * time.Hour
	maxLearnt = 4096
	// What a browser gives up within this time it gave up for one reason.
	oneMind = time.Second
)

// party is a client program and a host, which it trusts us for or not.
type party struct {
	Tunnelled
	id partyID
}

// partyID is a keyed hash: of the hosts that accept us only that is kept, for
// this is no browsing log.
type partyID [sha256.Size]byte

// learnt remembers which parties refuse our certificate. It goes one way: from
// interception to tunnel.
type learnt struct {
	now func() time.Time
	key []byte

	mu      sync.Mutex
	records map[partyID]*record // guarded by mu
}

type record struct {
	last     time.Time
	accepted bool // has sent a request through our TLS
	doubts   int  // refusals since
	tunnel   *Tunnelled
}

func newLearnt(now func() time.Time, known []Tunnelled) *learnt {
	l := &learnt{now: now, key: make([]byte, 32), records: make(map[partyID]*record)}
	_, _ = rand.Read(l.key) // never fails, says crypto/rand
	for _, t := range known {
		p := l.party(t)
		if l.now().Sub(t.Since) < learntFor {
			l.records[p.id] = &record{last: t.Since, tunnel: &t}
		}
	}
	return l
}

func (l *learnt) party(t Tunnelled) party {
	mac := hmac.New(sha256.New, l.key)
	fmt.Fprintf(mac, "%q %q %q %q", t.Client, t.UserAgent, t.Shape, t.Host)
	p := party{Tunnelled: t}
	mac.Sum(p.id[:0])
	return p
}

func (s *Server) party(c *connect, h *clientHello) party {
	const longest = 256 // user agents are the client's to choose
	agent := c.w.ex.in.UserAgent()
	return s.learnt.party(Tunnelled{Host: c.host, Client: c.client.Addr, UserAgent: agent[:min(len(agent), longest)], Shape: h.shape})
}

// tunnels tells whether p is to be passed through.
func (l *learnt) tunnels(p party) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.liveLocked(p.id)
	return r != nil && r.tunnel != nil
}

// accepted notes that p trusts us.
func (l *learnt) accepted(p party) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.touchLocked(p.id)
	r.accepted, r.doubts = true, 0
}

// refused notes a refusal and tells whether p is tunnelled from now on because
// of it. One that is explicit always counts; the others can happen to a client
// that trusts us, so they count less where p has accepted before.
func (l *learnt) refused(p party, how refusal, reason string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := time.Time{}
	if r := l.liveLocked(p.id); r != nil && r.doubts > 0 {
		before = r.last
	}
	r := l.touchLocked(p.id)
	if how == aborted && r.last.Sub(before) < oneMind {
		return false
	}
	r.doubts++
	if r.tunnel != nil || !r.convinced(how, oneShot(p.UserAgent)) {
		return false
	}
	t := p.Tunnelled
	t.Reason, t.Since = reason, l.now()
	r.tunnel = &t
	return true
}

// oneShot tells programs that connect only for a request they have, so that a
// connection without one says no. They use GnuTLS, which sends no alert.
// Others, browsers above all, connect ahead and must be seen to do so twice.
func oneShot(agent string) bool {
	return slices.ContainsFunc([]string{"Wget/", "git/", "Debian APT"}, func(name string) bool {
		return strings.HasPrefix(agent, name)
	})
}

// convinced weighs a refusal; once means that the program never connects for
// nothing.
func (r *record) convinced(how refusal, once bool) bool {
	switch how {
	case explicit:
		return true
	case hard:
		return !r.accepted || r.doubts >= 2
	case soft:
		return !r.accepted && (once || r.doubts >= 2)
	case aborted:
		return !r.accepted && r.doubts >= 2
	}
	return false
}

func (l *learnt) liveLocked(id partyID) *record {
	r := l.records[id]
	if r == nil {
		return nil
	}
	since := r.last
	if r.tunnel != nil {
		since = r.tunnel.Since // use does not prolong it
	}
	if l.now().Sub(since) >= learntFor {
		delete(l.records, id)
		return nil
	}
	return r
}

func (l *learnt) touchLocked(id partyID) *record {
	r := l.liveLocked(id)
	if r == nil {
		if len(l.records) >= maxLearnt {
			l.evictLocked()
		}
		r = new(record)
		l.records[id] = r
	}
	r.last = l.now()
	return r
}

func (l *learnt) evictLocked() {
	var oldest partyID
	var last time.Time
	for id, r := range l.records {
		if last.IsZero() || r.last.Before(last) {
			oldest, last = id, r.last
		}
	}
	delete(l.records, oldest)
}

func (l *learnt) list() []Tunnelled {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []Tunnelled{}
	for id := range l.records {
		if r := l.liveLocked(id); r != nil && r.tunnel != nil {
			out = append(out, *r.tunnel)
		}
	}
	slices.SortFunc(out, func(a, b Tunnelled) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), a.Client.Compare(b.Client), a.Since.Compare(b.Since))
	})
	return out
}

func (l *learnt) forget(host string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, r := range l.records {
		if r.tunnel != nil && (host == "" || r.tunnel.Host == host) {
			delete(l.records, id)
			n++
		}
	}
	return n
}

// Tunnelled lists the client programs that refused our certificate, by host.
// Given to Intercept.Known it survives a restart.
func (s *Server) Tunnelled() []Tunnelled {
	s.build()
	return s.learnt.list()
}

// Forget lets host be intercepted again, or every host if it is "", and tells
// how many entries that were.
func (s *Server) Forget(host string) int {
	s.build()
	return s.learnt.forget(canonicalHost(host))
}
