package sched

import (
	"slices"

	"dtpx/range/internal/span"
)

// Read notes that the reader has taken the bytes before pos, which may also
// lie elsewhere (a seek).
func (p *Plan) Read(id ReaderID, pos int64, now Time) {
	r := p.reader(id)
	seek := pos < r.pos || !p.have.Has(span.Range{Start: r.pos, End: pos})
	r.pos = pos
	if seek {
		p.cutFar()
		p.refree()
	}
}

// cutFar ends the requests that have come to lie outside every window: a reader
// that has jumped needs their connections where it is now.
func (p *Plan) cutFar() {
	for _, q := range p.reqs {
		near := slices.ContainsFunc(p.readers, func(r *reader) bool {
			return q.pos < min(r.end, r.pos+p.windowOf(r)) && r.pos < max(q.end, q.pos+1)
		})
		if !near && p.engaged && p.proven && q.hedge == nil && q.hedges == nil {
			q.end, q.cut = q.pos, true
		}
	}
}

// Waiting notes that the reader is blocked (or no longer is) at its position.
func (p *Plan) Waiting(id ReaderID, waiting bool, now Time) {
	if r := p.reader(id); r.waiting != waiting {
		r.waiting, r.since = waiting, now
	}
}

// Forget drops stored bytes that the caller no longer holds. What a reader
// still needs of them is fetched again.
func (p *Plan) Forget(r span.Range) {
	p.have.Remove(r)
	again := false
	for _, rd := range p.readers {
		need := r.Intersect(span.Range{Start: rd.pos, End: rd.end})
		for _, gap := range p.have.Missing(need) {
			p.free.Add(gap)
			again = true
		}
	}
	if !again {
		return // the usual case: nobody wants it any more
	}
	p.lookAround()
	for _, q := range p.reqs {
		p.free.Remove(span.Range{Start: q.pos, End: q.end})
	}
}
