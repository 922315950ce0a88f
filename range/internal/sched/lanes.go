package sched

import (
	"cmp"
	"slices"
	"time"
)

// SetLanes bounds the requests that a source should have in flight, for the
// sake of other downloads; 0 lifts the bound. Those beyond it are given up by the
// next Step, but for what will be done within a moment. A bound says nothing about the host: what was worth having before is
// taken up again afterwards, and where that is not known it is tried.
func (p *Plan) SetLanes(id SourceID, n int, now Time) {
	s := p.source(id)
	if n == s.most {
		return
	}
	was := s.limit()
	s.most = n
	s.cramped = s.cramped || n > 0 && n < s.info.Lanes
	switch limit := s.limit(); {
	case limit < s.lanes:
		s.wish = max(s.wish, s.lanes)
		s.lanes, s.surplus, p.surplus = limit, true, true
		if s.trial.on && !s.trial.undone { // what it measures is no longer of its own making
			s.trial.settled = true
		}
	case limit > was && s.wish > s.lanes:
		if s.lanes = min(s.wish, limit); s.lanes == s.wish {
			s.wish = 0
		}
	case limit > was && s.lanes == was && p.engaged && !s.trial.undone && s.info.Start <= 1:
		s.trial = experiment{on: true, from: s.lanes, base: s.recent.over(4, now), since: now, grew: now, had: s.fresh + s.wasted}
		s.lanes = min(s.step()*s.lanes, limit)
	}
	p.lookAround()
}

// shed gives up the requests of sources that have been bound which are farthest
// ahead of the reader. What is on its way on them is lost, but that is little on
// a line that many share, and those whom it is shared with would wait for as
// long as the slices last.
func (p *Plan) shed(acts []Action, now Time) []Action {
	if !p.surplus {
		return acts
	}
	p.surplus = false
	for _, s := range p.sources {
		if !s.surplus {
			continue
		}
		s.surplus = false
		lasting := slices.DeleteFunc(slices.Clone(s.reqs), func(q *request) bool {
			return q.hedge != nil || q.hedges != nil || q == p.first || q.ahead != nil || q.head && p.eta(q, now) < shedAfter
		})
		slices.SortFunc(lasting, func(a, b *request) int { return cmp.Compare(a.pos, b.pos) })
		for _, q := range lasting[min(len(lasting), s.lanes):] {
			if b := q.behind; b != nil { // it has no connection of its own
				p.drop(b, now)
				acts = append(acts, Action{Kind: Cancel, Req: b.id})
			}
			p.drop(q, now)
			s.closing = append(s.closing, now)
			acts = append(acts, Action{Kind: Cancel, Req: q.id})
		}
	}
	return acts
}

// shedAfter is how soon a request must be done to be left alone.
const shedAfter = 500 * time.Millisecond

// Busy reports that something is asked for or on its way: the download takes a
// part of the line.
func (p *Plan) Busy() bool {
	for _, q := range p.reqs {
		if !q.waiting {
			return true
		}
	}
	return false
}
