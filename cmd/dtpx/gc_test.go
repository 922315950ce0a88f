package main

import "testing"

func TestGCTarget(t *testing.T) {
	for live, want := range map[uint64]int{0: 1600, 1 << 20: 1600, 8 << 20: 200, 16 << 20: 100, 64 << 20: 25, 100 << 20: 15, 1 << 30: 10} {
		if got := gcTarget(live); got != want {
			t.Errorf("%d bytes live: %d, want %d", live, got, want)
		}
	}
}
