package port

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"

	"dtpx/cluster/internal/group"
)

// Dial opens a stream of one kind to the member at an address: to the node
// want, or to any where it is nil. The error is a *group.Refusal where the
// other side is no such member. That it refuses us is the error of the first
// read: see group.Explain.
func (p *Port) Dial(ctx context.Context, to netip.AddrPort, want *group.NodeID, kind string) (*Conn, error) {
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	tune(raw)
	c, err := p.handshake(ctx, raw, func(under net.Conn) *tls.Conn {
		cfg := p.o.Member.ClientConfig(want, kind)
		cfg.DynamicRecordSizingDisabled = true
		return tls.Client(under, cfg)
	})
	if err != nil {
		raw.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if why := group.Explain(err); why != nil && why.Reason != group.Broken {
			return nil, why
		}
		return nil, err
	}
	return c, nil
}
