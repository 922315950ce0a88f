// Package span is the arithmetic of byte ranges: a half-open Range and a Set
// of disjoint ones. Both are plain values without locks, clocks or I/O, so
// that every hard question of a download (what is missing, what comes next,
// what may be thrown away) is answered here and tested by drawn tables.
package span

import (
	"fmt"
	"slices"
	"sort"
)

// Range is the half-open interval [Start, End) of byte positions.
type Range struct {
	Start, End int64
}

// Len is the number of bytes in r; an inverted range is empty.
func (r Range) Len() int64 { return max(0, r.End-r.Start) }

// Empty reports whether r holds no byte.
func (r Range) Empty() bool { return r.End <= r.Start }

// Contains reports whether the byte at off lies in r.
func (r Range) Contains(off int64) bool { return r.Start <= off && off < r.End }

// Intersect returns the bytes that lie in both; it may be empty.
func (r Range) Intersect(o Range) Range {
	i := Range{max(r.Start, o.Start), min(r.End, o.End)}
	if i.Empty() {
		return Range{}
	}
	return i
}

func (r Range) String() string { return fmt.Sprintf("[%d,%d)", r.Start, r.End) }

// Set is a set of byte positions kept as sorted, disjoint, non-adjacent,
// non-empty ranges. The zero value is empty. It is not safe for concurrent use.
type Set struct {
	rs []Range
}

// Of returns the set of all bytes in rs, which may overlap.
func Of(rs ...Range) Set {
	var s Set
	for _, r := range rs {
		s.Add(r)
	}
	return s
}

// Ranges returns the set's ranges in order. The slice is the caller's.
func (s *Set) Ranges() []Range { return slices.Clone(s.rs) }

// Count is the number of disjoint ranges.
func (s *Set) Count() int { return len(s.rs) }

// Size is the number of bytes in the set.
func (s *Set) Size() (n int64) {
	for _, r := range s.rs {
		n += r.Len()
	}
	return n
}

// at is the index of the first range that ends after off.
func (s *Set) at(off int64) int {
	return sort.Search(len(s.rs), func(i int) bool { return s.rs[i].End > off })
}

// Add puts all bytes of r into the set.
func (s *Set) Add(r Range) {
	if r.Empty() {
		return
	}
	lo := sort.Search(len(s.rs), func(i int) bool { return s.rs[i].End >= r.Start })
	hi := lo
	for hi < len(s.rs) && s.rs[hi].Start <= r.End {
		r.Start = min(r.Start, s.rs[hi].Start)
		r.End = max(r.End, s.rs[hi].End)
		hi++
	}
	if hi == lo+1 { // the common case: one range grows in place
		s.rs[lo] = r
		return
	}
	s.rs = slices.Replace(s.rs, lo, hi, r)
}

// Remove takes all bytes of r out of the set.
func (s *Set) Remove(r Range) {
	if r.Empty() {
		return
	}
	lo := s.at(r.Start)
	hi := lo
	var keep [2]Range
	n := 0
	for hi < len(s.rs) && s.rs[hi].Start < r.End {
		if left := (Range{s.rs[hi].Start, r.Start}); !left.Empty() {
			keep[n] = left
			n++
		}
		if right := (Range{r.End, s.rs[hi].End}); !right.Empty() {
			keep[n] = right
			n++
		}
		hi++
	}
	if lo == hi {
		return
	}
	s.rs = slices.Replace(s.rs, lo, hi, keep[:n]...)
}

// Has reports whether every byte of r is in the set.
func (s *Set) Has(r Range) bool {
	if r.Empty() {
		return true
	}
	i := s.at(r.Start)
	return i < len(s.rs) && s.rs[i].Start <= r.Start && r.End <= s.rs[i].End
}

// From is the run of bytes in the set that begins exactly at off; empty (of
// length 0, at off) when off is not in the set.
func (s *Set) From(off int64) Range {
	i := s.at(off)
	if i < len(s.rs) && s.rs[i].Start <= off {
		return Range{off, s.rs[i].End}
	}
	return Range{off, off}
}

// Next is the first run of bytes in the set at or after off, clipped to
// within; ok is false when there is none.
func (s *Set) Next(off int64, within Range) (r Range, ok bool) {
	off = max(off, within.Start)
	i := s.at(off)
	if i == len(s.rs) {
		return Range{}, false
	}
	r = Range{max(off, s.rs[i].Start), min(s.rs[i].End, within.End)}
	return r, !r.Empty()
}

// Missing returns the parts of within that are not in the set, in order.
func (s *Set) Missing(within Range) []Range {
	var out []Range
	at := within.Start
	for i := s.at(at); i < len(s.rs) && s.rs[i].Start < within.End; i++ {
		if gap := (Range{at, s.rs[i].Start}); !gap.Empty() {
			out = append(out, gap)
		}
		at = s.rs[i].End
	}
	if gap := (Range{at, within.End}); !gap.Empty() {
		out = append(out, gap)
	}
	return out
}

// Within returns the parts of within that are in the set, in order.
func (s *Set) Within(within Range) []Range {
	var out []Range
	for i := s.at(within.Start); i < len(s.rs) && s.rs[i].Start < within.End; i++ {
		if r := s.rs[i].Intersect(within); !r.Empty() {
			out = append(out, r)
		}
	}
	return out
}

// SizeWithin is the number of the set's bytes that lie in within.
func (s *Set) SizeWithin(within Range) (n int64) {
	for i := s.at(within.Start); i < len(s.rs) && s.rs[i].Start < within.End; i++ {
		n += s.rs[i].Intersect(within).Len()
	}
	return n
}
