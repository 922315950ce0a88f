package main

import "dtpx/range/internal/sched"

func (w *world) deliver(i int) {
	l := w.links[i]
	open := 0
	for _, f := range append([]*flow(nil), w.flows...) {
		if f.src != i {
			continue
		}
		if open++; f.ahead != nil {
			continue
		}
		switch {
		case l.quota > 0 && w.spent[i] >= l.quota:
			if why := sched.Reset; f.head || w.now >= f.headAt {
				if !f.head {
					why = sched.Out // the next one is told
				}
				w.remove(f, false)
				w.plan.Ended(f.id, why, 0, true, w.now)
			}
		case l.dead != nil && l.dead(w.now):
			if f.head || w.now >= f.headAt {
				w.remove(f, false)
				w.plan.Ended(f.id, sched.Reset, 0, true, w.now)
			}
		case !f.head && l.conns > 0 && open > l.conns && w.now >= f.headAt:
			w.remove(f, false)
			w.res.refused++
			w.plan.Ended(f.id, sched.Overload, 0, false, w.now)
		case !f.head && w.now >= f.headAt && l.rate(w.now) > 0:
			f.head = true
			if f.conn != nil {
				f.conn.begins(w.now, l.rtt)
			}
			w.plan.Opened(f.id, w.now)
		}
	}
	n := w.active(i)
	if n == 0 {
		w.finish(i)
		return
	}
	share := l.rate(w.now) * dt.Seconds()
	if l.tcp {
		w.deliverTCP(i, share)
		w.finish(i)
		return
	}
	if !l.perConn {
		for k, o := range w.links {
			if k != i && o.uplink != 0 && o.uplink == l.uplink {
				n += w.active(k)
			}
		}
		share /= float64(n)
	}
	for _, f := range append([]*flow(nil), w.flows...) {
		if f.src == i && f.head {
			w.feed(f, share)
		}
	}
	w.finish(i)
}

// deliverTCP is the same for a link whose connections have windows.
func (w *world) deliverTCP(i int, total float64) {
	l := w.links[i]
	var active []*flow
	for _, f := range w.flows {
		if f.src == i && f.head && w.plan.Want(f.id, w.now) > 0 {
			active = append(active, f)
		}
	}
	if l.perConn {
		total *= float64(max(1, len(active)))
	}
	shares := w.shares(active, total, l.rtt)
	for _, f := range active {
		if l.perConn {
			shares[f] = min(shares[f], l.rate(w.now)*dt.Seconds())
		}
		f.conn.got(shares[f], w.now, l.rtt, l.rate(w.now))
		w.feed(f, shares[f])
	}
}

func (w *world) feed(f *flow, share float64) {
	f.credit += share
	for f.credit >= 1 {
		want := w.plan.Want(f.id, w.now)
		if want <= 0 {
			f.credit = min(f.credit, share)
			return
		}
		n := min(want, int64(f.credit))
		w.spent[f.src] += n
		fresh, _ := w.plan.Got(f.id, n, w.now)
		for _, r := range fresh {
			n -= r.Len()
			f.pos += r.Len()
			f.credit -= float64(r.Len())
		}
		f.pos += n
		f.credit -= float64(n)
		w.res.wasted += n
	}
}

// finish ends the flows that have nothing more to bring.
func (w *world) finish(i int) {
	for _, f := range append([]*flow(nil), w.flows...) {
		if f.src == i && f.head && w.plan.Want(f.id, w.now) < 0 {
			cut := f.pos < f.wire.End
			w.remove(f, cut)
			if !cut && !f.ends {
				w.put(f)
			}
			w.plan.Ended(f.id, sched.Done, 0, cut, w.now)
		}
	}
}
