package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
)

// tape is what the links could carry, for the ideal of rates that change.
type tape struct {
	mu    sync.Mutex
	rates []float64 // MB/s now
	steps []step
}

type step struct {
	at  time.Time
	sum float64 // MB/s from here on
}

func newTape(rates ...float64) *tape {
	t := &tape{rates: slices.Clone(rates)}
	t.note()
	return t
}

func (t *tape) note() {
	sum := 0.0
	for _, r := range t.rates {
		sum += r
	}
	t.steps = append(t.steps, step{time.Now(), sum})
}

func (t *tape) set(i int, rate float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rates[i] = rate
	t.note()
}

// ideal is how long so many bytes take from began on.
func (t *tape) ideal(began time.Time, bytes, one float64) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	left, at, sum := bytes, began, t.steps[0].sum
	for _, s := range t.steps {
		if s.at.After(at) {
			can := s.at.Sub(at).Seconds() * sum * one
			if can >= left {
				break
			}
			left, at = left-can, s.at
		}
		sum = s.sum
	}
	return at.Sub(began) + time.Duration(left/(sum*one)*1e9)
}

// changingLinks: each link gets another rate between 1 and 6 MB/s every 5 s.
func (b *bench) changingLinks() ([]row, error) {
	one, err := content()
	if err != nil {
		return nil, err
	}
	h, err := b.house(testbed.Config{NoH2: true}, unlimited, 4, 4, 4, 4)
	if err != nil {
		return nil, err
	}
	defer h.close()
	const size = 256
	var ratio []float64
	note := ""
	for range b.rounds {
		rates := make([]float64, len(h.Rooms))
		tp := newTape(4, 4, 4, 4)
		change := func() {
			for i, r := range h.Rooms {
				rates[i] = 1 + 5*rand.Float64()
				_ = r.WAN.A.Shape(mbps(rates[i]))
				tp.set(i, rates[i])
			}
		}
		change()
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			for every(ctx, 5*time.Second) {
				change()
			}
		})
		began := time.Now()
		t, err := h.fetch(h.Rooms[0], size, nil)
		cancel()
		wg.Wait()
		if err != nil {
			return nil, err
		}
		ideal := tp.ideal(began, size*mib, one)
		ratio = append(ratio, t.Total.Seconds()/ideal.Seconds())
		note = fmt.Sprintf("%.2f s, ideal %.2f s, longest gap %.0f ms, waste %.2f %%", t.Total.Seconds(), ideal.Seconds(), t.Longest.Seconds()*1e3, 100*wasted(t, size))
	}
	return []row{{"1-6 MB/s, new every 5 s, 256 MiB", "time / ideal", median(ratio), 1.03, true, note}}, nil
}

func every(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// dying: one of four goes at half time, killed or without a word.
func (b *bench) dying() ([]row, error) {
	one, err := content()
	if err != nil {
		return nil, err
	}
	const size = 128
	var rows []row
	for _, how := range []struct {
		name string
		do   func(h *house, v *hostel.Room)
	}{
		{"killed", func(_ *house, v *hostel.Room) { v.Kill() }},
		{"silent", func(_ *house, v *hostel.Room) { _ = v.Freeze() }},
	} {
		var ratio, gap []float64
		note := ""
		for range b.rounds {
			h, err := b.house(testbed.Config{NoH2: true}, unlimited, 4, 4, 4, 4)
			if err != nil {
				return rows, err
			}
			tp := newTape(4, 4, 4, 4)
			var onceOnly sync.Once
			began := time.Now()
			t, err := h.fetch(h.Rooms[0], size, func(n int64) {
				if n > size*mib/2 {
					onceOnly.Do(func() {
						tp.set(1, 0)
						go how.do(h, h.Rooms[1])
					})
				}
			})
			h.close()
			if err != nil {
				return rows, err
			}
			ideal := tp.ideal(began, size*mib, one)
			ratio = append(ratio, t.Total.Seconds()/ideal.Seconds())
			gap = append(gap, t.Longest.Seconds())
			note = fmt.Sprintf("%.2f s, ideal %.2f s", t.Total.Seconds(), ideal.Seconds())
		}
		rows = append(rows, row{"one of 4 " + how.name + " at half, 128 MiB", "time / ideal", median(ratio), 1.03, true, note},
			row{"one of 4 " + how.name + " at half, 128 MiB", "longest gap, s", median(gap), 0.6, true, ""})
	}
	return rows, nil
}

// fair: quotas 1000/500/250/250 MB; who pays how much.
func (b *bench) fair() ([]row, error) {
	quotas := []float64{1000, 500, 250, 250}
	lab, err := b.house(testbed.Config{NoH2: true}, "", 8, 8, 8, 8)
	if err != nil {
		return nil, err
	}
	defer lab.close()
	for i, r := range lab.Rooms {
		if err := r.Stop(); err != nil {
			return nil, err
		}
		config := fmt.Sprintf("cluster: {spend: fair, cap: %.0fMB/day, lend: {quota: %.0fMB/day}}\n", quotas[i], quotas[i])
		if err := r.Serve(config); err != nil {
			return nil, err
		}
	}
	if err := lab.together(); err != nil {
		return nil, err
	}
	const size = 512
	t, err := lab.fetch(lab.Rooms[0], size, nil)
	if err != nil {
		return nil, err
	}
	plan := fairPlan(quotas, size*mib/1e6)
	worst, total := 0.0, float64(t.sum())
	for i, w := range t.wan {
		if plan[i] > 0 {
			worst = max(worst, abs(float64(w)/total*size*mib/1e6/plan[i]-1))
		}
	}
	return []row{{"fair, 1000/500/250/250 MB, 512 MiB", "off the plan, %", 100 * worst, 5, true,
		fmt.Sprintf("plan %.0f MB, by link %s, %.1f s", plan, shares(t), t.Total.Seconds())}}, nil
}

// fairPlan is water-filling of the remaining fractions.
func fairPlan(quotas []float64, need float64) []float64 {
	// All start full, so all pay down to one level.
	sum := 0.0
	for _, q := range quotas {
		sum += q
	}
	plan := make([]float64, len(quotas))
	for i, q := range quotas {
		plan[i] = need * q / sum
	}
	return plan
}

// idle: what a member costs that does nothing.
func (b *bench) idle() ([]row, error) {
	h, err := b.house(testbed.Config{NoH2: true}, unlimited, 4, 4, 4, 4)
	if err != nil {
		return nil, err
	}
	defer h.close()
	time.Sleep(20 * time.Second)
	worst := int64(0)
	for _, r := range h.Rooms {
		worst = max(worst, rssOf(r.PID()))
	}
	return []row{{"an idle member", "memory, MiB", float64(worst) / mib, 48, true, "resident, after 20 s"}}, nil
}

// rssOf is the resident size in bytes.
func rssOf(pid int) int64 {
	var total, resident int64
	readInts(fmt.Sprintf("/proc/%d/statm", pid), &total, &resident)
	return resident * 4096
}
