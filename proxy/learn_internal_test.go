package proxy

import (
	"fmt"
	"testing"
	"time"
)

func TestWhatIsLearntIsBounded(t *testing.T) {
	now := time.Now()
	l := newLearnt(func() time.Time { now = now.Add(time.Millisecond); return now }, nil)
	first := l.party(Tunnelled{Host: "first.test"})
	l.refused(first, explicit, "no")
	for i := range maxLearnt + 10 {
		l.accepted(l.party(Tunnelled{Host: fmt.Sprint(i)}))
	}
	if len(l.records) != maxLearnt || l.tunnels(first) {
		t.Errorf("%d records, the oldest kept: %v", len(l.records), l.tunnels(first))
	}
}

// later is some time without a refusal.
const later = refusal(-1)

func TestRefusalsThatConvince(t *testing.T) {
	for _, tt := range []struct {
		accepted bool
		how      []refusal
		want     bool
	}{
		{false, []refusal{explicit}, true},
		{false, []refusal{hard}, true},
		{false, []refusal{soft}, false},
		{false, []refusal{soft, soft}, true},
		{true, []refusal{explicit}, true},
		{true, []refusal{hard}, false},
		{true, []refusal{hard, hard}, true},
		{true, []refusal{soft, soft, soft}, false},
		{false, []refusal{aborted, aborted, aborted}, false}, // all at once
		{false, []refusal{aborted, later, aborted}, true},
		{false, []refusal{aborted, soft}, true},
		{true, []refusal{aborted, later, aborted}, false},
	} {
		now := time.Now()
		l := newLearnt(func() time.Time { return now }, nil)
		p := l.party(Tunnelled{Host: "h.test"})
		if tt.accepted {
			l.accepted(p)
		}
		for _, how := range tt.how {
			if how == later {
				now = now.Add(oneMind)
				continue
			}
			l.refused(p, how, "no")
		}
		if got := l.tunnels(p); got != tt.want {
			t.Errorf("accepted %v, then %v: tunnels %v", tt.accepted, tt.how, got)
		}
	}
}
