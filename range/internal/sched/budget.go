package sched

import (
	"math"
	"time"
)

// noBound is the allowance of a source without a budget.
const noBound = math.MaxInt64

// SetBudget bounds what a source may be assigned from now on to n bytes; n < 0
// lifts the bound. What it owns already does not count, and a range that it
// gives back may be assigned to it again.
func (p *Plan) SetBudget(id SourceID, n int64) {
	s := p.source(id)
	p.lookAround()
	if s.bound = n >= 0; s.bound {
		s.grant = s.fresh + s.wasted + p.owed(s) + n
	}
}

// Drop takes a source out of the download. Its open requests go on.
func (p *Plan) Drop(id SourceID) {
	p.source(id).gone = true
	p.lookAround()
}

// Unreachable notes that there is no way to a source for now.
func (p *Plan) Unreachable(id SourceID, now Time) {
	p.away(p.source(id), 0, now)
	p.lookAround()
}

// owed is what the open requests of s have yet to bring. Slice 0 as long as it
// is alone owns everything only because nobody else has been asked.
func (p *Plan) owed(s *source) (n int64) {
	for _, q := range s.reqs {
		if q != p.first {
			n += q.rest()
		}
	}
	return n
}

// Unassigned is the number of bytes that readers need and that no request has
// been given.
func (p *Plan) Unassigned() int64 {
	n := p.free.Size()
	if p.first != nil {
		n += p.first.rest()
	}
	return n
}

// Alive reports whether a source takes part: it is not out, parked or benched
// for its failures.
func (p *Plan) Alive(id SourceID, now Time) bool {
	s := p.source(id)
	return !s.gone && !s.parked && (now >= s.ready || s.ready-now < 250*time.Millisecond)
}

// budgetLeft is what s may still be assigned. A rest too small for a request of
// its own counts as nothing.
func (p *Plan) budgetLeft(s *source) int64 {
	if !s.bound {
		return noBound
	}
	least := p.p.MinSlice
	if free := p.free.Size(); free > 0 {
		least = min(least, free)
	}
	if n := s.grant - s.fresh - s.wasted - p.owed(s); n >= least {
		return n
	}
	return 0
}

// allowance is the same, except that the first source, the own line, takes
// what no other may and what a reader waits for.
func (p *Plan) allowance(s *source, now Time) int64 {
	n := p.budgetLeft(s)
	if n == 0 && s == p.sources[0] && p.ownLine(now) {
		return noBound
	}
	return n
}

// ownLine reports that the first source may go beyond its budget.
func (p *Plan) ownLine(now Time) bool {
	if _, ok := p.starved(); ok || !p.proven {
		return true
	}
	for _, s := range p.sources[1:] {
		if s.usable(now) && p.budgetLeft(s) > 0 {
			return false
		}
	}
	return true
}

// noteOverdrawn remembers that bytes are missing and all sources beside the
// first one that are left have used up their budgets.
func (p *Plan) noteOverdrawn() {
	if p.overdrawn || p.free.Size() < max(p.p.MinSlice, p.size/100) {
		return
	}
	spent := false
	for i, s := range p.sources {
		if i == 0 && !s.bound || s.gone {
			continue
		}
		if p.budgetLeft(s) > 0 {
			return
		}
		spent = spent || i > 0
	}
	p.overdrawn = spent
}

// able reports whether s may be given something now.
func (p *Plan) able(s *source, now Time) bool { return s.usable(now) && p.allowance(s, now) > 0 }

// Overdrawn reports that the first source had to bring what the budgets of the
// others did not suffice for.
func (p *Plan) Overdrawn() bool { return p.overdrawn }
