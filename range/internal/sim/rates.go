package main

import (
	"math"
	"math/rand/v2"
	"time"
)

func constant(r float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return r }
}

// changing jumps every 4 to 8 s to a rate between lo and hi.
func changing(rng *rand.Rand, lo, hi float64) func(time.Duration) float64 {
	type leg struct {
		until time.Duration
		rate  float64
	}
	var legs []leg
	return func(t time.Duration) float64 {
		for len(legs) == 0 || legs[len(legs)-1].until <= t {
			at := time.Duration(0)
			if len(legs) > 0 {
				at = legs[len(legs)-1].until
			}
			legs = append(legs, leg{at + 4*time.Second + time.Duration(rng.Int64N(int64(4*time.Second))), lo + rng.Float64()*(hi-lo)})
		}
		for _, l := range legs {
			if t < l.until {
				return l.rate
			}
		}
		return 0
	}
}

// pausing stops for 0.3 to 2 s about every 5 s.
func pausing(rng *rand.Rand, rate float64) func(time.Duration) float64 {
	var stops []time.Duration // begin, end, begin, end …
	return func(t time.Duration) float64 {
		for len(stops) == 0 || stops[len(stops)-1] <= t {
			at := time.Duration(0)
			if len(stops) > 0 {
				at = stops[len(stops)-1]
			}
			begin := at + time.Duration(rng.ExpFloat64()*float64(5*time.Second))
			stops = append(stops, begin, begin+time.Duration((0.3+1.7*rng.Float64())*float64(time.Second)))
		}
		for i := 0; i < len(stops); i += 2 {
			if t < stops[i] {
				return rate
			}
			if t < stops[i+1] {
				return 0
			}
		}
		return rate
	}
}

// until is rate before t0 and then after.
func until(t0 time.Duration, rate, after float64) func(time.Duration) float64 {
	return func(t time.Duration) float64 {
		if t < t0 {
			return rate
		}
		return math.Max(after, 0)
	}
}
