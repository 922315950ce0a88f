package sched

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dtpx/range/internal/span"
)

// cell is the unit in which tests draw a plan: one least slice.
const cell = 64 << 10

// at is the range of cells [a,b).
func at(a, b int64) span.Range { return span.Range{Start: a * cell, End: b * cell} }

// play drives a plan: sources bring bytes at fixed rates, 10 ms at a time, and
// the reader takes what comes unless it is stopped.
type play struct {
	t       *testing.T
	p       *Plan
	now     Time
	rates   []float64 // cells a second of each of a source's requests; 0 = silence
	bears   []int     // requests a source bears before it answers 503; 0 = any number
	rtt     time.Duration
	reader  ReaderID
	stopped bool
	opens   []open
	event   bool                  // something happened that Step should look at
	adjust  func()                // changes rates, each 10 ms
	wake    Time                  // when it wants to be called anyway
	hold    func(q *request) bool // reports that q brings no more
}

type open struct {
	at Time
	Action
}

// newPlay begins a download of n cells with a window; slice 0 comes from the
// first source. lanes and rates are per source.
func newPlay(t *testing.T, n, window int64, lanes []int, rates ...float64) *play {
	t.Helper()
	params := Default(n*cell, window*cell)
	params.MinGain = 0
	g := &play{t: t, p: New(params, n*cell, false), rates: rates, rtt: 10 * time.Millisecond, event: true}
	g.bears = make([]int, len(rates))
	g.reader = g.p.Join(at(0, n), 0, 0)
	for i := range rates {
		l := 1
		if i < len(lanes) {
			l = lanes[i]
		}
		g.p.AddSource(SourceInfo{Lanes: l, RTT: g.rtt})
	}
	g.p.Adopt(1, at(0, n), g.rtt, 0)
	return g
}

// run plays for d.
func (g *play) run(d time.Duration) *play {
	for end := g.now + d; g.now < end; {
		g.now += 10 * time.Millisecond
		if g.adjust != nil {
			g.adjust()
		}
		for _, q := range append([]*request(nil), g.p.reqs...) {
			g.move(q)
		}
		g.read()
		g.step()
		g.verify()
	}
	return g
}

// step calls Step when the engine would: after an event or when it is time.
func (g *play) step() {
	if !g.event && (g.wake == 0 || g.now < g.wake) {
		return
	}
	g.event = false
	var acts []Action
	acts, g.wake = g.p.Step(g.now)
	for _, a := range acts {
		g.note(a)
	}
}

// until plays until ok, at most for d.
func (g *play) until(what string, d time.Duration, ok func() bool) *play {
	g.t.Helper()
	for end := g.now + d; !ok(); g.run(10 * time.Millisecond) {
		if g.now >= end {
			g.t.Fatalf("not within %v: %s\n%v", d, what, g.p)
		}
	}
	return g
}

func (g *play) note(a Action) {
	if a.Kind == Open {
		g.opens = append(g.opens, open{g.now, a})
	}
}

func (g *play) move(q *request) {
	i := q.src.id - 1
	if g.rates[i] == 0 || g.p.request(q.id) == nil || q.ahead != nil {
		return
	}
	if !q.head {
		if g.now-q.began < g.rtt {
			return
		}
		if n := g.bears[i]; n > 0 && len(q.src.reqs) > n {
			g.end(q, Overload)
			return
		}
		g.p.Opened(q.id, g.now)
		g.event = true
	}
	for n := int64(g.rates[i] * cell / 100); n > 0; {
		want := g.p.Want(q.id, g.now)
		if want < 0 {
			g.end(q, Done)
		}
		if want <= 0 {
			return
		}
		k := min(n, want)
		if g.hold != nil {
			if g.hold(q) {
				return
			}
			k = min(k, cell/4)
		}
		_, soon := g.p.Got(q.id, k, g.now)
		g.event = g.event || soon
		n -= k
	}
}

func (g *play) end(q *request, why Cause) {
	g.event = true
	g.p.Ended(q.id, why, 0, q.pos < q.wire.End && why == Done, g.now)
}

func (g *play) read() {
	if g.stopped {
		return
	}
	r := g.p.reader(g.reader)
	run := g.p.Have(r.pos)
	g.event = g.event || run.Empty() && !r.waiting || run.Start/(4*cell) != run.End/(4*cell)
	g.p.Waiting(g.reader, run.Empty(), g.now)
	g.p.Read(g.reader, run.End, g.now)
}

// verify holds the plan to what must always be true: no byte is free and
// owned, or free and stored, and a byte has one owner (a hedge doubles one on
// purpose; so does a request that reads on until its neighbour speaks).
func (g *play) verify() {
	g.t.Helper()
	p := g.p
	for _, q := range p.reqs {
		own := span.Range{Start: q.pos, End: q.end}
		if p.free.SizeWithin(own) > 0 {
			g.t.Fatalf("%v: bytes of #%d are free\n%v", g.now, q.id, p)
		}
		if q.end > q.wire.End || q.pos < q.wire.Start {
			g.t.Fatalf("%v: #%d owns more than it asked for\n%v", g.now, q.id, p)
		}
		if q.wire.Empty() {
			g.t.Fatalf("%v: #%d asks for nothing\n%v", g.now, q.id, p)
		}
	}
	for _, f := range p.free.Ranges() {
		if p.have.SizeWithin(f) > 0 {
			g.t.Fatalf("%v: stored bytes are free\n%v", g.now, p)
		}
	}
}

// draw shows cells [a,b): # stored, a letter the request that owns its first
// byte, . free, _ wanted by nobody.
func (g *play) draw(a, b int64) string {
	var s strings.Builder
	for i := a; i < b; i++ {
		off := i * cell
		c := "_"
		switch {
		case g.p.have.Has(span.Range{Start: off, End: off + 1}):
			c = "#"
		case g.p.free.Has(span.Range{Start: off, End: off + 1}):
			c = "."
		}
		for _, q := range g.p.reqs {
			if q.pos <= off && off < q.end && q.hedges == nil {
				c = fmt.Sprintf("%c", 'A'+int(q.id)-1)
			}
		}
		s.WriteString(c)
	}
	return s.String()
}

// opensOf are the requests that a source was asked for since.
func (g *play) opensOf(src SourceID, since Time) (out []open) {
	for _, o := range g.opens {
		if o.Source == src && o.at >= since {
			out = append(out, o)
		}
	}
	return out
}
