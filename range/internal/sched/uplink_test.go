package sched

import (
	"testing"
	"time"
)

// sharing plays sources of which some share the first one's 40 cells a second.
func sharing(t *testing.T, shared ...int) *play {
	rates := []float64{40, 40, 40, 40}
	g := newPlay(t, 8000, 2000, nil, rates...)
	g.adjust = func() {
		n := 0
		for _, i := range shared {
			n += len(g.p.source(SourceID(i + 1)).reqs)
		}
		for _, i := range shared {
			g.rates[i] = 40 / float64(max(1, n))
		}
	}
	return g
}

// A source parked for sharing the uplink is back at once when the first fails.
func TestParkedIsTakenBackWhenTheFirstFails(t *testing.T) {
	g := sharing(t, 0, 2).run(12 * time.Second)
	if !g.p.source(3).parked || g.p.source(2).parked || g.p.source(4).parked {
		t.Fatalf("parked %v %v %v", g.p.source(2).parked, g.p.source(3).parked, g.p.source(4).parked)
	}
	g.adjust = nil
	g.rates[0], g.rates[2] = 0, 40
	now := g.now
	if g.run(time.Second); len(g.opensOf(3, now)) == 0 {
		t.Errorf("not asked within a second: %v", g.p)
	}
}

// Each is judged once: nothing swings however long it takes.
func TestParkingDoesNotSwing(t *testing.T) {
	g := sharing(t, 0, 1).run(12 * time.Second)
	for range 200 {
		if g.run(100 * ms); !g.p.source(2).parked || g.p.source(3).held() || g.p.source(4).held() {
			t.Fatalf("%v: %v", g.now, g.p)
		}
	}
}

// What a shaped link lets pass at once in the beginning is not what it has: that it
// brings less afterwards is no reason to set anybody aside.
func TestBurstIsNoRate(t *testing.T) {
	g := newPlay(t, 8000, 2000, nil, 300, 20, 20, 20)
	g.adjust = func() {
		if g.now > 10*ms {
			g.rates[0] = 40
		}
	}
	for g.now < 10*time.Second {
		g.run(10 * ms)
		for _, s := range g.p.sources {
			if s.held() {
				t.Fatalf("source %d is set aside at %v: %v", s.id, g.now, g.p)
			}
		}
	}
}

// A link that becomes faster while another source is set aside says nothing about
// that one: it gains more than was given up, or it does not lose it again when the
// other is back.
func TestCoincidenceIsNoSharedUplink(t *testing.T) {
	for what, faster := range map[string]float64{"far more": 140, "just as much": 30} {
		g := newPlay(t, 8000, 2000, nil, 40, 20, 20, 20)
		tried := false
		g.adjust = func() {
			if g.now > 300*ms {
				g.rates[0] = 10
			}
			for _, s := range g.p.sources {
				tried = tried || s.aside
			}
			if tried {
				g.rates[0] = faster
			}
		}
		g.run(20 * time.Second)
		if !tried {
			t.Fatal("nobody was suspected")
		}
		for id := SourceID(2); id <= 4; id++ {
			if g.p.source(id).parked {
				t.Errorf("%s: source %d is parked: %v", what, id, g.p)
			}
		}
	}
}

// Who comes later is judged by what the first source has by then, not by what it
// had in the first moment.
func TestLateSharerIsParked(t *testing.T) {
	g := newPlay(t, 8000, 2000, nil, 20, 20)
	g.run(time.Second)
	g.rates[0] = 40
	g.run(5 * time.Second)
	g.rates = append(g.rates, 0)
	g.bears = append(g.bears, 0)
	late := g.p.AddSource(SourceInfo{Lanes: 1, RTT: g.rtt})
	g.event = true
	g.adjust = func() { // one line of 40 for both
		n := len(g.p.source(1).reqs) + len(g.p.source(late).reqs)
		g.rates[0], g.rates[2] = 40/float64(max(1, n)), 40/float64(max(1, n))
	}
	g.until("parked", 12*time.Second, func() bool { return g.p.source(late).parked })
}

// What has a small part of the first one's line when it is judged, and takes more
// later, is looked at again.
func TestCreepingSharerIsParked(t *testing.T) {
	g := newPlay(t, 8000, 2000, nil, 25, 6, 40)
	g.adjust = func() { // one line of 40 for the first two
		switch shared := len(g.p.source(2).reqs) > 0; {
		case g.now < 200*ms: // which looks like one of 25
		case !shared:
			g.rates[0], g.rates[1] = 40, 6
		case g.now < 4*time.Second:
			g.rates[0], g.rates[1] = 34, 6
		default:
			g.rates[0], g.rates[1] = 22, 18
		}
	}
	g.until("judged", 4*time.Second, func() bool { return g.p.source(2).judged })
	g.until("parked", 12*time.Second, func() bool { return g.p.source(2).parked })
	if g.p.source(3).held() {
		t.Errorf("so is another: %v", g.p)
	}
}
