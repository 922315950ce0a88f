package span

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// drawn reads "..###.#" as the set of the positions that hold '#'.
func drawn(s string) Set {
	var set Set
	for i, c := range s {
		if c == '#' {
			set.Add(Range{int64(i), int64(i) + 1})
		}
	}
	return set
}

// draw is the inverse of drawn over n positions.
func draw(s Set, n int) string {
	b := []byte(strings.Repeat(".", n))
	for _, r := range s.Ranges() {
		for i := r.Start; i < r.End && i < int64(n); i++ {
			b[i] = '#'
		}
	}
	return string(b)
}

func TestAddRemove(t *testing.T) {
	for _, c := range []struct{ set, with, added, removed string }{
		{"..........", "..###.....", "..###.....", ".........."},
		{"..###.....", "....###...", "..#####...", "..##......"},
		{"..###.....", ".....##...", "..#####...", "..###....."},
		{"##..##..##", "..##......", "######..##", "##..##..##"},
		{"##..##..##", "#########.", "##########", ".........#"},
		{"##########", "...##.....", "##########", "###..#####"},
		{"##########", "##########", "##########", ".........."},
		{"#.#.#.#.#.", "..#####...", "#.#####.#.", "#.......#."},
	} {
		with := drawn(c.with)
		a := drawn(c.set)
		a.Add(with.Ranges()[0])
		if got := draw(a, 10); got != c.added {
			t.Errorf("%s + %s = %s, want %s", c.set, c.with, got, c.added)
		}
		r := drawn(c.set)
		r.Remove(with.Ranges()[0])
		if got := draw(r, 10); got != c.removed {
			t.Errorf("%s - %s = %s, want %s", c.set, c.with, got, c.removed)
		}
	}
}

func TestQuestions(t *testing.T) {
	s := drawn("##..###..#")
	within := Range{1, 9}
	if got := draw(Of(s.Missing(within)...), 10); got != "..##...##." {
		t.Errorf("Missing = %s", got)
	}
	if got := draw(Of(s.Within(within)...), 10); got != ".#..###..." {
		t.Errorf("Within = %s", got)
	}
	if n := s.SizeWithin(within); n != 4 {
		t.Errorf("SizeWithin = %d", n)
	}
	if r := s.From(5); r != (Range{5, 7}) {
		t.Errorf("From(5) = %v", r)
	}
	if r := s.From(3); r != (Range{3, 3}) {
		t.Errorf("From(3) = %v", r)
	}
	if r, ok := s.Next(2, within); !ok || r != (Range{4, 7}) {
		t.Errorf("Next(2) = %v %v", r, ok)
	}
	if r, ok := s.Next(7, within); ok {
		t.Errorf("Next(7) = %v, want none before 9", r)
	}
	if !s.Has(Range{4, 7}) || s.Has(Range{4, 8}) || !s.Has(Range{3, 3}) {
		t.Error("Has is wrong")
	}
}

// TestAgainstBits compares a random walk with an array of bits.
func TestAgainstBits(t *testing.T) {
	const n = 64
	rng := rand.New(rand.NewPCG(1, 2))
	var s Set
	var bits [n]bool
	for range 20000 {
		a, b := rng.Int64N(n+1), rng.Int64N(n+1)
		r := Range{min(a, b), max(a, b)}
		add := rng.IntN(2) == 0
		if add {
			s.Add(r)
		} else {
			s.Remove(r)
		}
		for i := r.Start; i < r.End; i++ {
			bits[i] = add
		}
		size := int64(0)
		for i, has := range bits {
			if s.Has(Range{int64(i), int64(i) + 1}) != has {
				t.Fatalf("bit %d differs: %v", i, s.Ranges())
			}
			if has {
				size++
			}
		}
		if s.Size() != size {
			t.Fatalf("Size %d, want %d", s.Size(), size)
		}
		rs := s.Ranges()
		for i, r := range rs {
			if r.Empty() || i > 0 && rs[i-1].End >= r.Start {
				t.Fatalf("not sorted, disjoint and apart: %v", rs)
			}
		}
	}
}
