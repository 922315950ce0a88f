package sched

import (
	"testing"
	"time"
)

// film plays four sources with links of 64 cells a second, of which the first
// bears several connections, for a player or for somebody who stores.
func film(t *testing.T, shown bool) *play {
	g := newPlay(t, 8000, 1024, []int{8, 1, 1, 1}, 64, 64, 64, 64)
	g.p.p.Shown = shown
	g.adjust = func() { g.rates[0] = 64 / float64(max(1, len(g.p.source(1).reqs))) }
	return g
}

// most is how many connections a source was given within d.
func (g *play) most(src SourceID, d time.Duration) (n int) {
	for end := g.now + d; g.now < end; g.run(10 * ms) {
		n = max(n, g.p.source(src).lanes)
	}
	return n
}

// A second connection may get next to nothing of a link, and what it was asked for
// is what a player waits for first. So none is tried before there is a lead.
func TestFilmBeginsWithoutTrials(t *testing.T) {
	if n := film(t, true).most(1, 3*time.Second); n > 1 {
		t.Errorf("%d connections to the first source of a film", n)
	}
	if n := film(t, false).most(1, 3*time.Second); n < 2 {
		t.Error("no second connection is ever tried")
	}
}

// behind is the most by which the reader is late for cells a second, within d.
func (g *play) behind(rate float64, d time.Duration) (most time.Duration) {
	began, from := g.now, g.p.reader(g.reader).pos
	for g.now < began+d {
		g.run(10 * ms)
		shown := float64(g.p.reader(g.reader).pos-from) / cell / rate
		most = max(most, g.now-began-time.Duration(shown*float64(time.Second)))
	}
	return most
}

// A player does not wait for a source that has become slow: the next free one
// takes over, and while there is no lead that is soon.
func TestFilmGoesOnBesideACrawlingSource(t *testing.T) {
	late := map[bool]time.Duration{}
	for _, shown := range []bool{true, false} {
		g := film(t, shown).run(500 * ms)
		g.adjust = nil
		g.rates[0] = 12
		late[shown] = g.behind(128, 3*time.Second)
	}
	if late[true] > time.Second || late[false] < 2*late[true] {
		t.Errorf("a film is late by %v, what is stored by %v", late[true], late[false])
	}
}
