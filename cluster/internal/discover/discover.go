// Package discover finds who else of a group is on the same LAN, by mDNS. It is
// for first contact only: what it finds are addresses to knock at.
//
//	advertise   _dtpx._tcp on each interface: the group's tag of the day, port,
//	            addresses. Instance and host are random words, new every day.
//	query       on each interface, IPv4 and IPv6 apart, at once and then after
//	            1, 2, 4 ... 60 s while nothing new is heard; sooner when somebody
//	            else asks, who may be new
//	believe     what carries our tag, comes from the same link, and names private
//	            or on-link addresses; at most 64 a query
//
// hashicorp/mdns answers. Its client is not used (v1.0.7): it sends a query for
// each incomplete answer and keeps every name it hears, so a flood of forged
// answers becomes a flood of ours; it needs a default route for IPv4; it writes to
// entries after it has handed them out; and it does not tell who answered. The
// query here leaves from a port of its own, so answers do not meet avahi on 5353.
//
// Not guaranteed: that a candidate is a member (tags can be heard and repeated,
// the handshake tells), and that strangers cannot see that a machine runs dtpx, or
// link days by its addresses and port.
package discover

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Keys tell the group's adverts from others'. *group.Keys satisfies it.
type Keys interface {
	Tag(day time.Time) string
	IsTag(tag string, now time.Time) bool
}

// Options is what a Service needs. Keys and Now are used concurrently, the other
// functions are called by one goroutine.
type Options struct {
	Keys Keys
	Port int // of the peer port

	// Interfaces and Addrs are where to advertise, and what. They are asked
	// every 30 s and at each Poke: LANs come and go. Addresses are not asked for where Advertise
	// is set.
	Interfaces func() []net.Interface
	Addrs      func() []netip.Addr

	// Advertise is told instead of own addresses where it is valid.
	Advertise netip.AddrPort

	// Found is called for each candidate of a query, again and again, one call
	// at a time. While it blocks, later candidates replace earlier ones.
	Found func(netip.AddrPort)

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: none
}

// Service advertises and looks for adverts until Close.
type Service struct {
	o      Options
	log    *noise
	cancel context.CancelFunc
	wg     sync.WaitGroup

	pokes chan struct{} // capacity 1: Poke was called
	asked chan struct{} // capacity 1: somebody queried our service
	found chan []netip.AddrPort

	// What follows belongs to run.
	names   names
	told    string // what servers were made for
	servers []*server
	links   []link
	seen    map[netip.AddrPort]bool
	eager   bucket // queries out of turn
}

// Start begins at once. It does not fail: where there is no network, or none that
// can be used, it goes on looking for one.
func Start(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		o: o, log: &noise{log: o.Log, now: o.Now},
		pokes: make(chan struct{}, 1), asked: make(chan struct{}, 1), found: make(chan []netip.AddrPort, 1),
		seen:  map[netip.AddrPort]bool{},
		eager: bucket{most: eagerBurst, perSecond: 1 / eagerEvery.Seconds()},
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.wg.Go(func() { s.run(ctx) })
	s.wg.Go(func() { s.deliver(ctx) })
	return s
}

// Poke looks at the interfaces and queries now: after a sleep, or a change of
// networks. It does not block.
func (s *Service) Poke() { poke(s.pokes) }

// Close stops advertising and waits for what runs, Found included.
func (s *Service) Close() {
	s.cancel()
	s.wg.Wait()
}

const (
	refreshEvery = 30 * time.Second
	queryFirst   = time.Second
	queryMost    = time.Minute

	// Queries out of turn: a few when somebody comes, one a minute for those
	// who would make us query all the time.
	eagerBurst = 3
	eagerEvery = time.Minute
)

func (s *Service) run(ctx context.Context) {
	defer s.stopServers()
	refresh := time.NewTicker(refreshEvery)
	defer refresh.Stop()
	pause := queryFirst
	next := time.NewTimer(0)
	s.refresh()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.pokes:
			pause = queryFirst
		case <-next.C:
		case <-s.asked:
			if !s.eager.take(s.o.Now()) {
				continue
			}
			sleep(ctx, rand.N(200*time.Millisecond)) // not all at once
		case <-refresh.C:
			if !s.refresh() {
				continue
			}
			pause = queryFirst
		}
		s.refresh()
		if s.look(ctx) && s.eager.take(s.o.Now()) {
			pause = queryFirst
		}
		next.Reset(pause - pause/5 + rand.N(2*pause/5))
		pause = min(2*pause, queryMost)
	}
}

// look queries on all links and reports whether something new was found.
func (s *Service) look(ctx context.Context) (news bool) {
	all := newCandidates()
	var wg sync.WaitGroup
	for _, l := range s.links {
		for _, f := range families {
			wg.Go(func() { s.query(ctx, l, f, all) })
		}
	}
	wg.Wait()
	select {
	case <-s.asked: // that was ourselves
	default:
	}
	list := all.list()
	for _, at := range list {
		if !s.seen[at] {
			news = true
			if len(s.seen) >= seenMax {
				clear(s.seen)
			}
			s.seen[at] = true
		}
	}
	if len(list) > 0 {
		select {
		case <-s.found: // not delivered yet; this is newer
		default:
		}
		s.found <- list
	}
	return news
}

const seenMax = 1024

func (s *Service) deliver(ctx context.Context) {
	for {
		select {
		case list := <-s.found:
			for _, at := range list {
				if ctx.Err() == nil {
					s.o.Found(at)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
