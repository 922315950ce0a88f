package testbed

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// A bucket spaces bytes at a rate. It is a clock of its own: next is when the
// following byte may go. Who comes late may catch up by lag at most, so that a
// burst stays below 20 ms worth (lag plus one piece).
type bucket struct {
	mu   sync.Mutex
	next time.Time
}

const (
	pieceTime = 10 * time.Millisecond // bytes are let go in pieces of this duration
	lag       = 10 * time.Millisecond
	minPiece  = 256 // below 25 KB/s pieces get longer, or wake-ups would be all it does
)

// reserve books n bytes at rate and says when they may go.
func (b *bucket) reserve(now time.Time, n int, rate int64) time.Time {
	if rate <= 0 {
		return now
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if oldest := now.Add(-lag); b.next.Before(oldest) {
		b.next = oldest
	}
	at := b.next
	b.next = at.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	return at
}

// piece is how many bytes go at once at rate.
func piece(rate int64) int {
	return max(minPiece, int(rate*int64(pieceTime)/int64(time.Second)))
}

// A pacer is what all connections of an origin share.
type pacer struct {
	mu     sync.Mutex
	limits Limits
	total  bucket
	perIP  map[netip.Addr]*bucket
}

func (p *pacer) setLimits(l Limits) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limits = l
}

func (p *pacer) current() Limits {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limits
}

func (p *pacer) ip(a netip.Addr) *bucket {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.perIP[a]
	if b == nil {
		if p.perIP == nil {
			p.perIP = map[netip.Addr]*bucket{}
		}
		b = &bucket{}
		p.perIP[a] = b
	}
	return b
}

// next returns how many of n bytes a connection may send and waits until it may.
func (p *pacer) next(ctx context.Context, own, ip *bucket, n int) (int, error) {
	l := p.current()
	for _, rate := range []int64{l.PerConn, l.PerIP, l.Total} {
		if rate > 0 {
			n = min(n, piece(rate))
		}
	}
	now := time.Now()
	at := own.reserve(now, n, l.PerConn)
	for _, t := range []time.Time{ip.reserve(now, n, l.PerIP), p.total.reserve(now, n, l.Total)} {
		if t.After(at) {
			at = t
		}
	}
	return n, wait(ctx, at.Sub(now))
}

// wait sleeps for d or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
