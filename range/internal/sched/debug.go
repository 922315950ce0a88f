package sched

import (
	"fmt"
	"strings"
)

// String draws the open requests and the free ranges, for tests and traces.
func (p *Plan) String() string {
	var b strings.Builder
	for _, q := range p.reqs {
		fmt.Fprintf(&b, "#%d@%d[%d>%d", q.id, q.src.id, q.pos, q.end)
		if q.wire.End != q.end {
			fmt.Fprintf(&b, "/%d", q.wire.End)
		}
		b.WriteByte(']')
		for flag, on := range map[string]bool{"?": !q.head, "w": q.waiting, "h": q.hedges != nil, "c": q.cut} {
			if on {
				b.WriteString(flag)
			}
		}
		b.WriteByte(' ')
	}
	fmt.Fprintf(&b, "free %v", p.free.Ranges())
	for _, r := range p.readers {
		fmt.Fprintf(&b, " reader %d<%d", r.pos, r.end)
	}
	for _, s := range p.sources {
		fmt.Fprintf(&b, " source %d: lanes %d ceiling %d strikes %d ready %v gone %v lane %.0f", s.id, s.lanes, s.ceiling, s.strikes, s.ready, s.gone, s.meter.now())
	}
	return b.String()
}
