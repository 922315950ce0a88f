package ledger

// Loan is the account of one tunnel, from its first reservation to Settle. It is
// safe for concurrent use.
type Loan struct {
	l   *Ledger
	key string

	// under l.mu
	day  Day   // of the last reservation
	last int64 // booked on that day
}

// Lend opens an account for a member; nothing is booked yet.
func (l *Ledger) Lend(key string) *Loan { return &Loan{l: l, key: key} }

// Reserve books up to n bytes for today and returns how many; 0 says that the
// quota is used up. Bytes that cannot be written down are not granted.
func (a *Loan) Reserve(n int64) (int64, error) {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	day := a.l.quota.Day(a.l.now())
	n = min(n, a.l.leftLocked(day))
	if n <= 0 {
		return 0, nil
	}
	if err := a.l.addLocked(record{Day: day, Key: a.key, Lent: n}); err != nil {
		_ = a.l.books.add(record{Day: day, Key: a.key, Lent: -n}) // fails if the booking did
		return 0, err
	}
	if day != a.day {
		a.day, a.last = day, 0
	}
	a.last += n
	return n, nil
}

// Settle ends the loan: unused bytes go back to the day on which they were
// booked; if negative, so many more were spent. An error is not told: the books
// are right, and the next write repairs the file.
func (a *Loan) Settle(unused int64) {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	if a.day == "" {
		a.day = a.l.quota.Day(a.l.now())
	}
	unused = min(unused, a.last)
	if unused != 0 {
		_ = a.l.addLocked(record{Day: a.day, Key: a.key, Lent: -unused})
	}
	a.last = 0
}
