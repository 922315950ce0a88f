package main

import (
	"time"
)

// conn is a connection of a link that has TCP: it gathers speed, a round trip at a
// time, and loses it again when it is idle (RFC 5681 §4.1).
type conn struct {
	cwnd float64       // bytes a round trip
	used time.Duration // when it last brought something
}

const initialWindow = 14600 // bytes, RFC 6928

// take gives f an idle connection of its link, the one used last, or a new one;
// it reports whether that is yet to be made.
func (w *world) take(f *flow) (fresh bool) {
	idle := w.idle[f.src]
	if len(idle) == 0 {
		f.conn = &conn{cwnd: initialWindow, used: w.now}
		return true
	}
	f.conn = idle[len(idle)-1]
	w.idle[f.src] = idle[:len(idle)-1]
	return false
}

// put keeps the connection of a flow that came to its end.
func (w *world) put(f *flow) {
	if f.conn != nil {
		w.idle[f.src] = append(w.idle[f.src], f.conn)
	}
}

// begins is when f's first byte leaves: a window that was idle has shrunk.
func (c *conn) begins(now time.Duration, rtt time.Duration) {
	rto := rtt + 200*time.Millisecond
	for gap := now - c.used; gap > rto && c.cwnd > initialWindow; gap -= rto {
		c.cwnd /= 2
	}
	c.cwnd = max(c.cwnd, initialWindow)
	c.used = now
}

// got lets the window grow by what was acknowledged, up to twice what the link
// holds: then its queue is full.
func (c *conn) got(n float64, now, rtt time.Duration, rate float64) {
	c.used = now
	c.cwnd = min(c.cwnd+n, 2*rate*rtt.Seconds())
}

// shares divides what a link can bring in a step among its flows: nobody gets more
// than its window allows, and what that leaves goes to the others.
func (w *world) shares(flows []*flow, total float64, rtt time.Duration) map[*flow]float64 {
	out := map[*flow]float64{}
	rest := append([]*flow(nil), flows...)
	for len(rest) > 0 {
		fair := total / float64(len(rest))
		var wide []*flow
		for _, f := range rest {
			if most := f.conn.cwnd * dt.Seconds() / rtt.Seconds(); most < fair {
				out[f] = most
				total -= most
			} else {
				wide = append(wide, f)
			}
		}
		if len(wide) == len(rest) {
			for _, f := range wide {
				out[f] = fair
			}
			return out
		}
		rest = wide
	}
	return out
}
