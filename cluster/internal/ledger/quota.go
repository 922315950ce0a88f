package ledger

import "time"

// Day names one day of accounting, YYYY-MM-DD: the date on which it began.
type Day string

// Quota is how many bytes a day may have and when a day begins.
type Quota struct {
	Bytes        int64 // 0 is unlimited
	Hour, Minute int   // of the reset, on the wall clock of Zone
	Zone         *time.Location
}

// Day is the day that t belongs to. It depends on t alone: a clock that jumps
// and comes back finds the account it left, and no jump empties one.
func (q Quota) Day(t time.Time) Day {
	y, m, d := q.date(t)
	return Day(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Format(time.DateOnly))
}

// Next is when the day of t ends. Days have 23 or 25 hours when the clocks
// change, and a reset that falls into the gap comes with the gap.
func (q Quota) Next(t time.Time) time.Time {
	y, m, d := q.date(t)
	next := q.start(y, m, d+1)
	for i := 2; !next.After(t); i++ {
		next = q.start(y, m, d+i)
	}
	return next
}

// Left is what remains of the day when used bytes are gone.
func (q Quota) Left(used int64) int64 {
	if q.Bytes <= 0 {
		return unlimited
	}
	return max(0, q.Bytes-max(0, used))
}

// unlimited is more than any link brings, and sums of it do not overflow.
const unlimited = int64(1) << 56

func (q Quota) zone() *time.Location {
	if q.Zone == nil {
		return time.Local
	}
	return q.Zone
}

func (q Quota) start(y int, m time.Month, d int) time.Time {
	return time.Date(y, m, d, q.Hour, q.Minute, 0, 0, q.zone())
}

// date is the last one whose start is not after t. The loops turn once at most,
// but for zones that once left out a whole day.
func (q Quota) date(t time.Time) (int, time.Month, int) {
	y, m, d := t.In(q.zone()).Date()
	for t.Before(q.start(y, m, d)) {
		d--
	}
	for !t.Before(q.start(y, m, d+1)) {
		d++
	}
	return y, m, d
}
