package ledger

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	_ "time/tzdata"
)

func TestDays(t *testing.T) {
	for _, c := range []struct {
		zone   string
		hour   int
		at     string
		day    Day
		lasts  time.Duration // of the whole day
		reason string
	}{
		{"UTC", 0, "2026-03-01T00:00:00Z", "2026-03-01", 24 * time.Hour, "first instant"},
		{"UTC", 0, "2026-02-28T23:59:59Z", "2026-02-28", 24 * time.Hour, "last instant"},
		{"UTC", 5, "2026-03-01T04:59:59Z", "2026-02-28", 24 * time.Hour, "before the reset"},
		{"UTC", 5, "2026-03-01T05:00:00Z", "2026-03-01", 24 * time.Hour, "at the reset"},
		{"UTC", 0, "2024-02-29T12:00:00Z", "2024-02-29", 24 * time.Hour, "leap day"},
		{"Europe/Berlin", 0, "2026-03-29T12:00:00Z", "2026-03-29", 23 * time.Hour, "spring"},
		{"Europe/Berlin", 0, "2026-10-25T12:00:00Z", "2026-10-25", 25 * time.Hour, "autumn"},
		{"America/Sao_Paulo", 0, "2018-11-04T12:00:00Z", "2018-11-04", 0, "no midnight"},
		{"Pacific/Apia", 0, "2011-12-30T12:00:00Z", "", 0, "no such day there"},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		q := Quota{Hour: c.hour, Zone: zone}
		at, _ := time.Parse(time.RFC3339, c.at)
		if d := q.Day(at); c.day != "" && d != c.day {
			t.Errorf("%s: %s, want %s", c.reason, d, c.day)
		}
		if y, m, d := q.date(at); c.lasts > 0 && q.Next(at).Sub(q.start(y, m, d)) != c.lasts {
			t.Errorf("%s: lasts %v", c.reason, q.Next(at).Sub(q.start(y, m, d)))
		}
	}
}

// Days never go back as time goes on, and end exactly at Next.
func TestDaysFollowEachOther(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Beirut", "Africa/Cairo", "Pacific/Apia", "Australia/Lord_Howe", "Asia/Kathmandu"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for range 300 {
			q := Quota{Hour: rnd.IntN(24), Minute: rnd.IntN(60), Zone: zone}
			at := time.Unix(rnd.Int64N(60*365*86400), 0)
			if rnd.IntN(4) == 0 {
				at = time.Date(2011, 12, 29, 0, 0, 0, 0, time.UTC).Add(time.Duration(rnd.IntN(72)) * time.Hour)
			}
			next := q.Next(at)
			if !next.After(at) || next.Sub(at) > 50*time.Hour {
				t.Fatalf("%s %v: next %v", name, at, next)
			}
			if last := q.Day(next.Add(-1)); last != q.Day(at) || q.Day(next) <= last {
				t.Fatalf("%s %02d:%02d %v: %s, ends %s, then %s", name, q.Hour, q.Minute, at, q.Day(at), last, q.Day(next))
			}
		}
	}
}

func TestFair(t *testing.T) {
	for _, c := range []struct {
		of   []Allowance
		need int64
		want []int64
	}{
		{nil, 10, nil},
		{[]Allowance{{100, 100}}, 0, []int64{0}},
		{[]Allowance{{100, 100}}, -5, []int64{0}},
		{[]Allowance{{100, 100}}, 500, []int64{100}},
		{[]Allowance{{1000, 1000}, {500, 500}, {250, 250}, {250, 250}}, 1000, []int64{500, 250, 125, 125}},
		{[]Allowance{{1000, 1000}, {500, 1000}}, 400, []int64{400, 0}},
		{[]Allowance{{1000, 1000}, {500, 1000}}, 700, []int64{600, 100}},
		{[]Allowance{{0, 1000}, {500, 1000}}, 700, []int64{0, 500}},
		{[]Allowance{{-9, 1000}, {500, 1000}}, 70, []int64{0, 70}},
		{[]Allowance{{100, 100}, {0, 0}, {7, 0}}, 50, []int64{0, 25, 25}},
	} {
		if got := Fair(c.of, c.need); !slices.Equal(got, c.want) {
			t.Errorf("%v need %d: %v, want %v", c.of, c.need, got, c.want)
		}
	}
}

func TestFairProperties(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		of := make([]Allowance, 1+rnd.IntN(12))
		var all int64
		for i := range of {
			of[i].Total = 1 + rnd.Int64N(1<<uint(1+rnd.IntN(45)))
			of[i].Left = rnd.Int64N(of[i].Total + 1)
			all += of[i].Left
		}
		need := rnd.Int64N(all + all/4 + 1)
		shares := Fair(of, need)
		var sum int64
		for i, s := range shares {
			sum += s
			if s < 0 || s > of[i].Left {
				t.Fatalf("%v need %d: %v", of, need, shares)
			}
		}
		if sum != min(need, all) {
			t.Fatalf("%v need %d: sum %d of %v", of, need, sum, shares)
		}
		// Nobody pays who then has a smaller fraction left than another, but for
		// a few bytes of rounding.
		rest := func(i int, less int64) float64 {
			return float64(of[i].Left-shares[i]-less) / float64(of[i].Total)
		}
		for i := range of {
			for j := range of {
				if shares[i] > 0 && rest(i, -3) < rest(j, 3)-1e-12 {
					t.Fatalf("%v need %d: %v: %d pays before %d", of, need, shares, i, j)
				}
			}
		}
	}
}
