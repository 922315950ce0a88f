package cache

import (
	"slices"
	"sync"

	ranges "dtpx/range"
)

const (
	// aheadBytes is how far before its place a reader fetches what is missing:
	// a film that was jumped about in is full of holes, and to fetch one after the
	// other, each when the player has come to it, is too slow.
	aheadBytes = 32 << 20
	// aheadStep is how far it goes on before it looks again.
	aheadStep = 1 << 20
	// aheadMost gaps are open at once.
	aheadMost = 16
)

// ahead are the gaps of a reader that are open before it has come to them. It is
// safe for concurrent use.
type ahead struct {
	news  chan struct{} // capacity 1: a gap has been opened
	looks sync.WaitGroup

	mu      sync.Mutex // guards what follows
	gaps    []*gap     // in order
	closed  bool
	looking bool  // or nothing is to be looked for
	looked  int64 // the place of the last look; 0: none yet
}

// add takes g over. What comes too late is closed.
func (a *ahead) add(g *gap) (ok bool) {
	a.mu.Lock()
	ok = !a.closed
	if ok {
		a.gaps = append(a.gaps, g)
		slices.SortFunc(a.gaps, func(x, y *gap) int { return int(x.at - y.at) })
	}
	a.mu.Unlock()
	if !ok {
		g.close()
		return false
	}
	select {
	case a.news <- struct{}{}:
	default:
	}
	return true
}

// take is the gap at pos, the caller's from now on; nil if there is none.
func (a *ahead) take(pos int64) (at *gap) {
	a.mu.Lock()
	var past []*gap
	for len(a.gaps) > 0 && at == nil && a.gaps[0].at <= pos {
		g := a.gaps[0]
		a.gaps = a.gaps[1:]
		if at = g; g.at < pos {
			past, at = append(past, g), nil
		}
	}
	a.mu.Unlock()
	for _, g := range past { // it has come by another way
		g.close()
	}
	return at
}

// next is where the first gap begins, or end.
func (a *ahead) next(end int64) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.gaps) > 0 {
		return min(end, a.gaps[0].at)
	}
	return end
}

// close waits for a look that is under way: its context must have ended.
func (a *ahead) close() {
	a.mu.Lock()
	gaps := a.gaps
	a.gaps, a.closed = nil, true
	a.mu.Unlock()
	for _, g := range gaps {
		g.close()
	}
	a.looks.Wait()
}

// begins reports that it is time for a look from pos; end must follow.
func (a *ahead) begins(pos int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.looking || a.looked > 0 && pos < a.looked+aheadStep {
		return false
	}
	a.looking, a.looked = true, max(pos, 1)
	return true
}

// end ends a look; in vain is the last one.
func (a *ahead) end(inVain bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.looking = inVain
}

// room reports whether a gap at off may be opened now.
func (a *ahead) room(off int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.closed && len(a.gaps) < aheadMost && !slices.ContainsFunc(a.gaps, func(g *gap) bool { return g.at <= off && off < g.end })
}

// look opens gaps ahead now and then. Neighbours are near enough without.
func (r *reader) look() {
	if len(r.o.lan) > 0 || r.end-r.pos < aheadStep || !r.ahead.begins(r.pos) {
		return
	}
	from := r.pos
	if r.gap != nil {
		from = r.gap.end
	}
	s := &scout{r: r, o: *r.o, from: from, to: min(r.end, r.pos+aheadBytes)}
	s.o.entry.Acquire()
	r.ahead.looks.Go(s.run)
}

// scout opens the gaps of one look. It has an object of its own, as the reader
// changes the other one.
type scout struct {
	r        *reader // v, ctx, s, end and ahead only
	o        object
	from, to int64
}

func (s *scout) run() {
	defer s.o.release()
	for _, hole := range s.o.entry.Missing(s.from, s.to) {
		if hole.Start > s.from && !s.open(hole.Start) {
			s.r.ahead.end(true)
			return
		}
	}
	s.r.ahead.end(false)
}

// open opens the gap at off if nobody else is at it; false says that there is no
// use in going on.
func (s *scout) open(off int64) (goOn bool) {
	v, id := s.r.v, s.o.entry.ID()
	if !s.r.ahead.room(off) || v.c.lives.soon(id, off) != nil || s.o.entry.Has(off) {
		return true
	}
	l, mine := v.c.lives.claim(id, ranges.Range{Start: off, End: gapEnd(s.o.held(), off, s.r.end)})
	if !mine {
		return true
	}
	if s.o.entry.Has(off) { // whoever was at it has just ended
		l.end()
		return true
	}
	g, resp, err := v.openGap(s.r.ctx, &s.o, s.r.s, off, s.r.end, true)
	if err != nil || g == nil {
		l.end()
		if resp != nil {
			resp.Body.Close() // the reader will see
		}
		return false
	}
	cancel := g.cancel
	g.cancel = func() { cancel(); l.end() }
	return s.r.ahead.add(g)
}
