package cluster

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"dtpx/cluster/internal/port"
)

// reach opens a stream to the peer by the address that answers first. They are begun in
// turn: which of them a cable that was pulled, or a subnet of the same number elsewhere,
// has made useless does not show, and downloads do not wait for long.
func (p *peer) reach(ctx context.Context, kind string) (*port.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	addrs := p.addresses()
	ways := make(chan way, len(addrs))
	begun, ended := 0, 0
	defer func() {
		cancel()
		for ; ended < begun; ended++ {
			if w := <-ways; w.err == nil {
				w.stream.Close()
			}
		}
	}()
	next := time.NewTimer(0)
	defer next.Stop()
	err := errors.New("no address")
	for ended < len(addrs) {
		select {
		case <-next.C:
			if begun < len(addrs) {
				go func(at netip.AddrPort) { ways <- p.try(ctx, at, kind) }(addrs[begun])
				begun++
				next.Reset(reachNext)
			}
		case w := <-ways:
			ended++
			if w.err == nil {
				p.prefer(w.at)
				return w.stream, nil
			}
			if err = w.err; ctx.Err() != nil {
				return nil, ctx.Err()
			}
			next.Reset(0)
		}
	}
	return nil, err
}

// way is what came of one address.
type way struct {
	at     netip.AddrPort
	stream *port.Conn
	err    error
}

func (p *peer) try(ctx context.Context, at netip.AddrPort, kind string) way {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	stream, err := p.s.port.Dial(ctx, at, &p.id, kind)
	return way{at, stream, err}
}

// prefer puts the address that answered first.
func (p *peer) prefer(at netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.addrs, at); i > 0 {
		p.addrs = slices.Insert(slices.Delete(p.addrs, i, i+1), 0, at)
	}
}
