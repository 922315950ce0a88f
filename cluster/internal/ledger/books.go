package ledger

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
)

const (
	// Older is the day of all that was before the days kept.
	Older Day = "older"
	// Others is the member that stands for those beyond the members kept: keys
	// can be minted, memory and file shall not grow with them.
	Others = "others"

	daysKept    = 62 // two months, so that "this month and the last" can be shown
	membersKept = 256
)

// Bytes went over this node's internet link for a member, or over a member's
// for this node.
type Bytes struct {
	Lent     int64 `json:"lent"`
	Borrowed int64 `json:"borrowed"`
}

// books are the accounts as a value: no file, lock or clock.
type books struct {
	days map[Day]*page
}

type page struct {
	member map[string]Bytes
	sum    Bytes
}

func newBooks() *books { return &books{days: map[Day]*page{}} }

// add refuses what cannot be, and then changes nothing.
func (b *books) add(r record) error {
	if !validDay(r.Day) || !validKey(r.Key) {
		return fmt.Errorf("bad day or key %q %q", r.Day, r.Key)
	}
	for _, n := range []int64{r.Lent, r.Borrowed} {
		if n > sumMax || n < -sumMax {
			return fmt.Errorf("bad amount %d", n)
		}
	}
	p := b.days[r.Day]
	if p == nil {
		p = &page{member: map[string]Bytes{}}
	}
	key := p.account(r.Key)
	v := p.member[key].plus(r.Lent, r.Borrowed)
	sum := p.sum.plus(r.Lent, r.Borrowed)
	if v.Lent < 0 || v.Borrowed < 0 || sum.Lent > sumMax || sum.Borrowed > sumMax {
		return fmt.Errorf("bad sum %d %d", v.Lent, v.Borrowed)
	}
	b.days[r.Day], p.member[key], p.sum = p, v, sum
	return nil
}

// account is the key under which a page keeps a member.
func (p *page) account(key string) string {
	own := len(p.member)
	if _, some := p.member[Others]; some {
		own--
	}
	if _, known := p.member[key]; known || own < membersKept {
		return key
	}
	return Others
}

func (v Bytes) plus(lent, borrowed int64) Bytes {
	return Bytes{v.Lent + lent, v.Borrowed + borrowed}
}

// prune moves all but the newest days into Older, and never the one in use: a
// clock that is wrong by years must neither lose today's account nor get a
// fresh one with each write.
func (b *books) prune(inUse Day) {
	days := slices.DeleteFunc(slices.Collect(maps.Keys(b.days)), func(d Day) bool { return d == Older || d == inUse })
	slices.SortFunc(days, func(a, c Day) int { return cmp.Compare(c, a) })
	if len(days) < daysKept {
		return
	}
	for _, d := range days[daysKept-1:] {
		for k, v := range b.days[d].member {
			// An error is a sum beyond sumMax: history that means nothing.
			_ = b.add(record{Older, k, v.Lent, v.Borrowed})
		}
		delete(b.days, d)
	}
}

func (b *books) sum(d Day) Bytes {
	if p := b.days[d]; p != nil {
		return p.sum
	}
	return Bytes{}
}

func keys[K comparable, V any](m map[K]V) iter.Seq[K] { return maps.Keys(m) }
