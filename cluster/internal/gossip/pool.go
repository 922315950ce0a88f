package gossip

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Pool is this node's view of who is there. Its methods may be called
// concurrently.
type Pool struct {
	o        Options
	contacts *contacts
	streams  *gate
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	changes chan struct{} // capacity 1: the list may have changed
	told    chan struct{} // capacity 1: Update was called
	rejoins chan struct{} // capacity 1: Rejoin was called
	joining chan struct{} // one for each dial of a Join under way

	metaNow atomic.Pointer[[]byte] // as it was last told

	mu     sync.Mutex // guards what follows
	era    *era       // nil while there is no address, and after Leave
	ended  bool       // Leave or Close was called
	moving bool       // a new era has not looked around yet: the old list holds
	list   []Member   // as it was last made
}

var (
	errAway  = errors.New("this machine is on no LAN")
	errEnded = errors.New("membership has ended")
	errKeys  = errors.New("membership needs keys")
)

const joinsMax = 12 // dials to members at a time; who calls Join for all that was found takes 8

// Start begins, alone: Join, Seeds and those who join bring others. While
// Wire.Advertise is invalid there is no membership.
func Start(o Options) (*Pool, error) {
	if len(o.Keyring) == 0 {
		return nil, errKeys
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Pool{
		o: o, contacts: newContacts(), streams: newGate(),
		changes: make(chan struct{}, 1), told: make(chan struct{}, 1), rejoins: make(chan struct{}, 1),
		joining: make(chan struct{}, joinsMax),
	}
	p.setMeta(o.Meta().encode())
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.follow(); err != nil {
		p.cancel()
		return nil, err
	}
	for _, run := range []func(context.Context){p.receive, p.serve, p.publish, p.tell, p.look} {
		p.wg.Go(func() { run(p.ctx) })
	}
	return p, nil
}

// Members are those alive, without this node, one for each NodeID, sorted by it.
// The slice is the caller's.
func (p *Pool) Members() []Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.era != nil && !p.moving {
		p.list = p.era.book.members()
	} else if !p.moving {
		p.list = nil
	}
	out := slices.Clone(p.list)
	for i := range out {
		out[i].Addrs = slices.Clone(out[i].Addrs)
	}
	return out
}

// Update tells members what Options.Meta says now. It does not block; calls that
// come faster than tellEvery are gathered.
func (p *Pool) Update() { poke(p.told) }

// Rejoin is for after a sleep or a change of addresses: it takes the address that
// Wire.Advertise gives now, and looks for members at once. It does not block.
func (p *Pool) Rejoin() { poke(p.rejoins) }

// Leave tells members that this node goes and waits until one of them can know,
// or for timeout. Members is empty from then on; Close has to follow.
func (p *Pool) Leave(timeout time.Duration) {
	if e := p.end(); e != nil {
		_ = e.list.Leave(timeout) // its only error: nobody heard in time
		_ = e.list.Shutdown()     // never fails: our transport's does not
	}
	poke(p.changes)
}

// Close ends membership without a word, if Leave was not called, and waits for
// all that was started here. memberlist's own goroutines end within a second.
func (p *Pool) Close() {
	if e := p.end(); e != nil {
		_ = e.list.Shutdown()
	}
	p.cancel()
	p.wg.Wait()
}

func (p *Pool) end() *era {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.era
	p.era, p.ended, p.list = nil, true, nil
	return e
}

// spawn runs f unless Close may be waiting already.
func (p *Pool) spawn(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.wg.Go(f)
	}
	return !p.ended
}

// follow begins another era if the address has changed, and says nothing to the
// old one's members: its session dies by itself, while the new one is on their
// lists already.
func (p *Pool) follow() error {
	at := p.o.Wire.Advertise()
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.era
	if p.ended || old != nil && old.at == at || old == nil && !at.IsValid() {
		return nil
	}
	p.era = nil
	if old != nil {
		p.list, p.moving = old.book.members(), true
		_ = old.list.Shutdown()
		for _, e := range old.book.living() {
			old.book.lose(e, p.o.Now())
		}
	}
	if !at.IsValid() {
		return nil
	}
	e, err := newEra(p.o, at, p.contacts, p.lastMeta, func() { poke(p.changes) })
	if err != nil {
		return err
	}
	p.era = e
	return nil
}

// lastMeta is asked by memberlist, also while follow holds p.mu.
func (p *Pool) lastMeta() []byte { return *p.metaNow.Load() }

func (p *Pool) setMeta(b []byte) { p.metaNow.Store(&b) }

// settled says that a new era has looked around.
func (p *Pool) settled() {
	p.mu.Lock()
	p.moving = false
	p.mu.Unlock()
	poke(p.changes)
}

func (p *Pool) current() (*era, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ended:
		return nil, errEnded
	case p.era == nil:
		return nil, errAway
	}
	return p.era, nil
}

// publishEvery spares Options.Changed a call for each of many who come at once.
const publishEvery = 50 * time.Millisecond

func (p *Pool) publish(ctx context.Context) {
	var last []Member
	for wait(ctx, p.changes) {
		if now := p.Members(); !slices.EqualFunc(last, now, sameMember) {
			last = now
			p.o.Changed(p.Members())
		}
		sleep(ctx, publishEvery)
	}
}

func sameMember(a, b Member) bool {
	return a.ID == b.ID && a.Meta == b.Meta && a.Session == b.Session && a.Since.Equal(b.Since) && slices.Equal(a.Addrs, b.Addrs)
}

const (
	// tellEvery times the number of members is the least time between two
	// updates of one node. All of them together then make one in 4 s at most,
	// which fifty send on at about 80 KB a minute each.
	tellEvery = 4 * time.Second
	tellLeast = 5 * time.Second
)

func (p *Pool) tell(ctx context.Context) {
	for wait(ctx, p.told) {
		meta := p.o.Meta().encode()
		if bytes.Equal(meta, p.lastMeta()) {
			continue
		}
		p.setMeta(meta)
		e, err := p.current()
		if err != nil {
			continue // the next era begins with it
		}
		_ = e.list.UpdateNode(time.Millisecond) // its only error: not sent on yet
		sleep(ctx, max(tellLeast, time.Duration(len(p.Members()))*tellEvery))
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wait is false when ctx has ended.
func wait(ctx context.Context, c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
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
