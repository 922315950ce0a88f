package cluster

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"dtpx/cluster/internal/ledger"

	"dtpx/internal/testbed"
)

// What earlier days have cost is still known, by day, the newest first.
func TestInfoTellsOfDays(t *testing.T) {
	r := newRig(t, testbed.Config{})
	// Noon: no midnight comes between.
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.Local)
	n := r.join(func(o *Options) {
		began := time.Now()
		o.Now = func() time.Time { return noon.Add(time.Since(began)) }
		for ago := 40; ago >= 0; ago-- {
			l, err := ledger.Open(ledger.Options{File: filepath.Join(o.Dir, "ledger.json"), Now: func() time.Time { return noon.AddDate(0, 0, -ago) }})
			must(t, err)
			bob, carol := l.Lend("bob"), l.Lend("carol")
			for _, loan := range []*ledger.Loan{bob, carol} {
				_, err = loan.Reserve(int64(1000 + ago))
				must(t, err)
			}
			must(t, l.Borrowed("bob", 500))
			must(t, l.Borrowed(ownKey, 70))
			must(t, l.Close())
		}
	})
	days := n.Info().Days
	if len(days) != daysShown {
		t.Fatalf("%d days", len(days))
	}
	for ago, day := range days {
		want := DaySum{Day: noon.AddDate(0, 0, -ago).Format(time.DateOnly), Lent: int64(2 * (1000 + ago)), Borrowed: 500, Own: 70}
		if !reflect.DeepEqual(day, want) {
			t.Errorf("%+v, want %+v", day, want)
		}
	}
}
