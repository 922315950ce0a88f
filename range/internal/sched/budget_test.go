package sched

import (
	"testing"
	"time"
)

// A source is never assigned more than its budget, what it gives back it may
// be assigned again, and the first source brings what nobody else may.
func TestBudgetBoundsWhatIsAssigned(t *testing.T) {
	g := newPlay(t, 1000, 400, nil, 10, 40, 40)
	g.run(500 * ms)
	before := g.p.source(2)
	had := before.fresh + before.wasted + g.p.owed(before)
	g.p.SetBudget(2, 100*cell)
	for range 3 { // ranges given back do not use it up
		g.p.Ended(g.p.source(2).reqs[0].id, Again, 0, true, g.now)
		g.event = true
		g.run(300 * ms)
	}
	g.until("the end", time.Minute, g.p.Complete)
	s := g.p.source(2)
	if over := s.fresh + s.wasted - had - 100*cell; over > cell || over < -3*cell {
		t.Errorf("brought %d cells more than the budget of 100", over/cell)
	}
	if g.p.Overdrawn() {
		t.Error("source 3 had no bound")
	}
}

func TestOwnLineTakesWhatBudgetsLeave(t *testing.T) {
	g := newPlay(t, 1000, 400, nil, 40, 40, 40)
	g.p.SetBudget(1, 200*cell)
	g.p.SetBudget(2, 100*cell)
	g.p.SetBudget(3, 0)
	g.until("the end", time.Minute, g.p.Complete)
	if a, b, c := g.p.source(1).fresh, g.p.source(2).fresh, g.p.source(3).fresh; a < 899*cell || b > 101*cell || c > 0 {
		t.Errorf("brought %d, %d, %d cells", a/cell, b/cell, c/cell)
	}
	if !g.p.Overdrawn() {
		t.Error("and nothing is said about it")
	}
}

func TestAwayAndOut(t *testing.T) {
	g := newPlay(t, 2000, 400, nil, 40, 40).run(time.Second)
	now := g.now
	g.p.Ended(g.p.source(2).reqs[0].id, Away, 5*time.Second, true, now)
	for len(g.p.source(2).reqs) > 0 {
		g.p.Ended(g.p.source(2).reqs[0].id, Away, 5*time.Second, true, now)
	}
	if g.run(8 * time.Second); len(g.opensOf(2, now)) == 0 || g.opensOf(2, now)[0].at < now+5*time.Second {
		t.Errorf("away for 5 s at %v, asked at %+v", now, g.opensOf(2, now))
	}
	if s := g.p.source(2); s.ceiling != 0 || s.refused != 0 {
		t.Errorf("it counts as a refusal: %+v", s)
	}
	now = g.now
	g.p.Ended(g.p.source(2).reqs[0].id, Out, 0, true, now)
	if g.run(30 * time.Second); len(g.opensOf(2, now+10*ms)) > 0 {
		t.Error("asked again although it is out")
	}
}
