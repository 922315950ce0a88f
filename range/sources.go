package ranges

import (
	"slices"
	"time"

	"dtpx/range/internal/sched"
)

// lookTime is how often a running download asks for sources found meanwhile.
const lookTime = time.Second

func local(s Source) bool { return s.Kind() == KindDirect || s.Kind() == KindInterface }

// addSources makes the direct connection the first source, and shares the
// allowed connections among the local ones.
func (t *Transport) addSources(d *Download, facts HostFacts) {
	srcs := []Source{&direct{base: t.Base}}
	if t.Engine.Sources != nil {
		srcs = append(srcs, d.admitLocked(facts.NoPeers, t.Engine.Sources(d.target))...)
	}
	d.facts, d.locals = facts, 0
	for _, s := range srcs {
		if local(s) {
			d.locals++
		}
	}
	for _, s := range srcs {
		d.addLocked(s)
	}
}

// addLocked makes s a source of the download. What is known of the host bounds
// the connections of this machine only: a peer has an address of its own, and
// one connection through it.
func (d *Download) addLocked(s Source) {
	info := sched.SourceInfo{Lanes: 1}
	if local(s) {
		info.Lanes = max(1, d.engine.Connections/max(1, d.locals))
		info.Ceiling, info.Start, info.Rate = d.facts.Ceiling, d.facts.Lanes, d.facts.Rate
	}
	if len(d.sources) == 0 {
		info.Rate = 0 // slice 0 will tell
	}
	lane := s.Lane(d.target)
	if _, ok := lane.(pipeline); ok {
		// Where other downloads share the line, its round trip is that of a queue
		// which they keep full: it only looks far.
		info.Follows = !local(s) || !d.engine.crowd.others(d)
	}
	d.sources = append(d.sources, &origin{Source: s, lanes: []Lane{lane}})
	d.plan.AddSource(info)
}

// admitLocked leaves out peers where their addresses are refused, and where nobody
// waits for the bytes: their quota is not for that.
func (d *Download) admitLocked(noPeers bool, srcs []Source) []Source {
	idle := clientOf(d.ctx).Background && d.joined == 0
	return slices.DeleteFunc(slices.Clone(srcs), func(s Source) bool {
		out := noPeers && s.Kind() == KindPeer
		d.noPeers = d.noPeers || out
		return out || idle && s.Kind() == KindPeer
	})
}

// look lets sources that have turned up since join the download. Those that
// are there already are told by kind and name.
func (d *Download) look() {
	d.mu.Lock()
	target, idle := d.target, d.closed || len(d.readers) == 0
	d.mu.Unlock()
	if idle {
		return
	}
	found := d.engine.Sources(target)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.admitLocked(d.noPeers, found) {
		if !slices.ContainsFunc(d.sources, func(o *origin) bool { return o.Kind() == s.Kind() && o.Name() == s.Name() }) {
			d.addLocked(s)
		}
	}
}

// rebudget asks Budget when the set of living sources has changed. Only run
// calls it.
func (d *Download) rebudget() {
	if d.engine.Budget == nil {
		return
	}
	d.mu.Lock()
	if d.closed || !d.livesChangedLocked() {
		d.mu.Unlock()
		return
	}
	srcs := make([]Source, len(d.sources))
	for k, o := range d.sources {
		srcs[k] = o.Source
	}
	target, need := d.target, d.plan.Unassigned()
	d.mu.Unlock()
	budget := d.engine.Budget(target, need, srcs)
	d.mu.Lock()
	defer d.mu.Unlock()
	for k := range srcs {
		n := int64(-1)
		if k < len(budget) {
			n = budget[k]
		}
		d.plan.SetBudget(schedID(k), n)
	}
}

// livesChangedLocked reports whether another set of sources lives than when it
// was last called. It is called with each event, whatever their number.
func (d *Download) livesChangedLocked() bool {
	changed := len(d.alive) != len(d.sources)
	d.alive = slices.Grow(d.alive, len(d.sources)-len(d.alive))[:len(d.sources)]
	for k := range d.sources {
		lives := d.plan.Alive(schedID(k), d.now())
		changed = changed || lives != d.alive[k]
		d.alive[k] = lives
	}
	return changed
}
