// Package ledger counts what members lend each other, and keeps to quotas.
//
// A tunnel opens a Loan and reserves bytes on it before it reads them; a
// reservation is in the file before it is granted, and what was not used is
// given back at the end. So a process that is killed at any instant has on
// record at least what it lent, and at most one reservation per tunnel more.
//
//	quota.go   which day is it, how much is left     values only
//	fair.go    who pays how much of a download       values only
//	books.go   the accounts, bounded                 values only
//	record.go  their form in a file
//	store.go   append a line; now and then replace the file in one step
//	ledger.go  all of this under one lock
//
// The lock is held over an append: one short write without sync per reservation.
// Not guaranteed: that a power cut keeps the last lines; they are synced with
// each replacement and at Close.
package ledger

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Options of a ledger. File is needed.
type Options struct {
	File  string
	Quota Quota // what all members together may borrow from this node per day
	Files Files // nil is Disk
	Now   func() time.Time
	Log   *slog.Logger
}

// Ledger is safe for concurrent use.
type Ledger struct {
	now func() time.Time // write-once

	mu     sync.Mutex // guards what follows
	quota  Quota
	books  *books
	store  *store
	damage error
}

// Open reads the ledger. A damaged file is renamed to FILE.damaged, said so in
// the log and by Damage, and what could be read of it still counts. The error
// says that no ledger can be kept.
func Open(o Options) (*Ledger, error) {
	if o.Files == nil {
		o.Files = Disk{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Ledger{now: o.Now, quota: o.Quota, store: &store{files: o.Files, name: o.File}}
	var err error
	if l.books, l.damage, err = l.store.load(); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if l.damage != nil {
		o.Log.Warn("ledger damaged, kept aside", "file", o.File+damaged, "err", l.damage)
	}
	l.books.prune(l.quota.Day(l.now()))
	if l.empty() {
		return l, nil // no file until there is something to write
	}
	if err := l.store.replace(l.books.encode()); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return l, nil
}

// empty reports that nobody has lent or borrowed here.
func (l *Ledger) empty() bool { return len(l.books.days) == 0 }

// Damage is why the file was kept aside at Open, nil if it was not.
func (l *Ledger) Damage() error { return l.damage }

// Close writes all down. Loans must have been settled.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.store.open == nil && l.empty() {
		return nil
	}
	return l.store.close(l.books.encode)
}

// SetQuota changes it from now on.
func (l *Ledger) SetQuota(q Quota) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quota = q
}

// Left is what members may still borrow today; unlimited is a very large number.
func (l *Ledger) Left() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leftLocked(l.quota.Day(l.now()))
}

func (l *Ledger) leftLocked(d Day) int64 { return l.quota.Left(l.books.sum(d).Lent) }

// Reset is when the next day begins.
func (l *Ledger) Reset() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.quota.Next(l.now())
}

// Day is what each member had on a day; today's is that of Today.
func (l *Ledger) Day(d Day) map[string]Bytes {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.books.days[d]; p != nil {
		return maps.Clone(p.member)
	}
	return map[string]Bytes{}
}

// Today is the day that counts now.
func (l *Ledger) Today() Day {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.quota.Day(l.now())
}

// Days are those with an account, the newest first; what is Older is not among them.
func (l *Ledger) Days() []Day {
	l.mu.Lock()
	defer l.mu.Unlock()
	days := slices.DeleteFunc(slices.Collect(keys(l.books.days)), func(d Day) bool { return d == Older })
	slices.SortFunc(days, func(a, b Day) int { return cmp.Compare(b, a) })
	return days
}

// Totals are all days together.
func (l *Ledger) Totals() map[string]Bytes {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := map[string]Bytes{}
	for _, p := range l.books.days {
		for k, v := range p.member {
			sum[k] = sum[k].plus(v.Lent, v.Borrowed)
		}
	}
	return sum
}

// Borrowed adds what came over a member's link. It counts even if it cannot be
// written down, which the error says.
func (l *Ledger) Borrowed(key string, n int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addLocked(record{Day: l.quota.Day(l.now()), Key: key, Borrowed: n})
}

// addLocked changes the books and then the file.
func (l *Ledger) addLocked(r record) error {
	if err := l.books.add(r); err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	return l.store.append(line(r), func() []byte {
		l.books.prune(r.Day)
		return l.books.encode()
	})
}
