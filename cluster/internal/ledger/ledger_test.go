package ledger

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const head = `{"format":"dtpx-ledger","version":1}` + "\n"

func open(t *testing.T, file string, quota int64, now *time.Time) *Ledger {
	t.Helper()
	l, err := Open(Options{File: file, Quota: Quota{Bytes: quota, Zone: time.UTC}, Now: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestQuotaIsNeverOverspent(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const quota = 50*mib + 12345
	l := open(t, filepath.Join(t.TempDir(), "ledger.json"), quota, &now)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var used int64
	for i := range 8 {
		wg.Go(func() {
			for {
				a := l.Lend(fmt.Sprint("m", i))
				n, err := a.Reserve(mib)
				if err != nil || n == 0 {
					return
				}
				a.Settle(n / 3)
				mu.Lock()
				used += n - n/3
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if used > quota || l.Left() != quota-used {
		t.Errorf("used %d of %d, left %d", used, quota, l.Left())
	}
}

func TestALoanOverMidnightGivesBackToItsDay(t *testing.T) {
	now := time.Date(2026, 3, 1, 23, 59, 0, 0, time.UTC)
	file := filepath.Join(t.TempDir(), "ledger.json")
	l := open(t, file, 2*mib, &now)
	a := l.Lend("anna")
	_, _ = a.Reserve(mib)
	now = now.Add(time.Hour)
	a.Settle(1000)
	if l.Left() != 2*mib || l.Day("2026-03-01")["anna"].Lent != mib-1000 {
		t.Error(l.Left(), l.Day("2026-03-01"))
	}
	now = now.Add(-time.Hour) // the clock is set back: the old account is still there
	if l.Left() != mib+1000 {
		t.Error(l.Left())
	}
	a = l.Lend("ben")
	_, _ = a.Reserve(10)
	a.Settle(-90) // more was spent than was booked
	l.Close()
	again := open(t, file, 2*mib, &now)
	if again.Left() != mib+900 || again.Day(again.Today())["ben"].Lent != 100 {
		t.Error(again.Left(), again.Totals())
	}
}

func TestDamageIsKeptAsideAndSaid(t *testing.T) {
	good := head + `{"day":"2026-03-01","key":"anna","lent":5}` + "\n"
	for name, in := range map[string]string{
		"empty":           "",
		"garbage":         "\x00\x01\n",
		"newer":           strings.Replace(good, ":1}", ":2}", 1),
		"foreign":         strings.Replace(good, "dtpx-", "x-", 1),
		"no header":       good[len(head):],
		"cut header":      head[:10],
		"torn inside":     good + `{"day":"2026-0` + "\n" + good[len(head):],
		"unknown field":   good + `{"day":"2026-03-01","key":"a","spent":5}` + "\n",
		"two values":      good + `{"day":"2026-03-01","key":"a"} {}` + "\n",
		"bad day":         good + `{"day":"2026-02-30","key":"a","lent":5}` + "\n",
		"bad key":         good + `{"day":"2026-03-01","key":"a b","lent":5}` + "\n",
		"long key":        good + `{"day":"2026-03-01","key":"` + strings.Repeat("a", 129) + `","lent":5}` + "\n",
		"below zero":      good + `{"day":"2026-03-01","key":"anna","lent":-6}` + "\n",
		"huge":            good + `{"day":"2026-03-01","key":"anna","lent":9000000000000000000}` + "\n",
		"sum over limits": good + strings.Repeat(fmt.Sprintf(`{"day":"2026-03-01","key":"anna","lent":%d}`+"\n", unlimited-1), 2),
		"too big":         good + strings.Repeat(" ", fileMax),
	} {
		file := filepath.Join(t.TempDir(), "ledger.json")
		if err := os.WriteFile(file, []byte(in), 0o600); err != nil {
			t.Fatal(err)
		}
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		l := open(t, file, 100, &now)
		aside, _ := os.ReadFile(file + damaged)
		if l.Damage() == nil || string(aside) != in {
			t.Errorf("%s: %v, %d bytes aside", name, l.Damage(), len(aside))
		}
		if name == "torn inside" && l.Left() != 95 {
			t.Errorf("%s: forgot what came before the damage", name)
		}
		l.Close()
		if again := open(t, file, 100, &now); again.Damage() != nil {
			t.Errorf("%s: damaged again: %v", name, again.Damage())
		}
	}
}

func TestMemoryAndFileAreBounded(t *testing.T) {
	b := newBooks()
	day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	var sum int64
	for d := range 200 {
		for k := range 300 {
			if err := b.add(record{Day(day.AddDate(0, 0, d).Format(time.DateOnly)), fmt.Sprintf("%0128d", k), 1, 2}); err != nil {
				t.Fatal(err)
			}
			sum++
		}
	}
	b.prune("2020-01-01") // a clock far back
	if len(b.days) != daysKept+1 || b.sum("2020-01-01").Lent != 300 {
		t.Errorf("%d days", len(b.days))
	}
	var got int64
	for d, p := range b.days {
		got += p.sum.Lent
		if len(p.member) > membersKept+1 {
			t.Errorf("%s: %d members", d, len(p.member))
		}
	}
	out := b.encode()
	if got != sum || len(out) > fileMax/4 {
		t.Errorf("sum %d of %d, file %d", got, sum, len(out))
	}
	again, err := decode(out)
	if err != nil || !bytes.Equal(again.encode(), out) {
		t.Error("not the same after reading:", err)
	}
}

// What is read is written and read to the same; nothing panics.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(head + `{"day":"2026-03-01","key":"anna","lent":5,"borrowed":7}` + "\n" + `{"day":"older","key":"anna","lent":5}` + "\nhalf"))
	f.Add([]byte(head))
	f.Fuzz(func(t *testing.T, in []byte) {
		b, _ := decode(in)
		out := b.encode()
		again, err := decode(out)
		if err != nil || !bytes.Equal(again.encode(), out) {
			t.Errorf("%q: %v", out, err)
		}
	})
}
