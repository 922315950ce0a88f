package gossip

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"dtpx/cluster/internal/group"
)

const (
	joinMax     = 64               // addresses of one Join
	joinTimeout = 10 * time.Second // of one Join: a dial and an answer

	// A node that has nobody looks twice as often as one that may have lost
	// some, and at first sooner: others may be starting as well.
	lookEvery  = 10 * time.Second
	lookJitter = 20 * time.Second
	aloneEvery = 5 * time.Second
	aloneFirst = time.Second // doubled each time

	// Tries of one look: with all of them in vain, 8 connection attempts in 20 s.
	goneAtATime  = 4
	seedsAtATime = 4
)

// look finds members again that are gone, so that the halves of a network find
// each other whenever it heals; memberlist itself forgets who is dead.
func (p *Pool) look(ctx context.Context) {
	alone := aloneFirst
	for {
		next := lookEvery + rand.N(lookJitter)
		if len(p.Members()) == 0 {
			next = alone + rand.N(alone)
			alone = min(2*alone, aloneEvery)
		} else {
			alone = aloneFirst
		}
		timer := time.NewTimer(next)
		select {
		case <-timer.C:
			p.search(ctx, false)
		case <-p.rejoins:
			p.search(ctx, true)
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// search looks once. woken is after a sleep or a move, when others may have taken
// this node for dead, so that those on its own list are asked as well.
func (p *Pool) search(ctx context.Context, woken bool) {
	if err := p.follow(); err != nil {
		p.o.Log.Warn("membership stands still", "err", err)
	}
	defer p.settled()
	e, err := p.current()
	if err != nil {
		return
	}
	goneMost, seedsMost := goneAtATime, seedsAtATime
	if woken {
		goneMost, seedsMost = 2*goneMost, 2*seedsMost
		p.compare(ctx, e)
	}
	tries := p.contacts.retry(goneMost, woken, p.here(e), p.o.Now())
	if p.o.Seeds != nil {
		tries = append(tries, pick(p.o.Seeds(), seedsMost, e.known)...)
	}
	_, _ = p.Join(tries...) // the next look tries again
}

// compare asks a few of the own list whether they still know this node.
func (p *Pool) compare(ctx context.Context, e *era) {
	living := e.book.living()
	rand.Shuffle(len(living), func(i, j int) { living[i], living[j] = living[j], living[i] })
	var wg sync.WaitGroup
	for _, each := range living[:min(3, len(living))] {
		wg.Go(func() { _ = p.dial(ctx, e, each.addr, true) })
	}
	wg.Wait()
}

func (p *Pool) here(e *era) func(group.NodeID) bool {
	living := map[group.NodeID]bool{}
	for _, each := range e.book.living() {
		living[each.id] = true
	}
	return func(id group.NodeID) bool { return living[id] }
}

// pick chooses some that are not known.
func pick(all []netip.AddrPort, n int, known func(netip.AddrPort) bool) []netip.AddrPort {
	all = slices.DeleteFunc(slices.Clone(all), known)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, len(all))]
}

// Join contacts members at addresses and learns from them about all others. It
// returns how many are on the list now, after at most joinTimeout. The error is
// why one of the others is not, with what Wire.DialStream said if that failed.
// More than joinMax addresses are not looked at, and members that are on the list
// already are not asked again.
func (p *Pool) Join(addrs ...netip.AddrPort) (int, error) {
	e, err := p.current()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(p.ctx, joinTimeout)
	defer cancel()
	addrs = slices.Clone(addrs[:min(len(addrs), joinMax)])
	slices.SortFunc(addrs, netip.AddrPort.Compare)
	results := make(chan error, joinMax)
	asked := 0
	for _, at := range slices.Compact(addrs) {
		if at.IsValid() && at != e.at && p.spawn(func() { results <- p.dial(ctx, e, at, false) }) {
			asked++
		}
	}
	return gather(ctx, results, asked)
}

func gather(ctx context.Context, results <-chan error, asked int) (n int, first error) {
	for range asked {
		select {
		case err := <-results:
			if err == nil {
				n++
			} else if first == nil {
				first = err
			}
		case <-ctx.Done():
			return n, errors.Join(first, ctx.Err())
		}
	}
	return n, first
}

// dial joins one address when it is its turn, and not if whoever is there has
// become known by then, unless again.
func (p *Pool) dial(ctx context.Context, e *era, at netip.AddrPort, again bool) error {
	select {
	case p.joining <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.joining }()
	if !again && e.known(at) {
		return nil
	}
	return e.join(at)
}
