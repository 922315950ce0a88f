package sched

import (
	"fmt"
	"testing"
)

// BenchmarkStep is the scheduler's work for one slice among few and many
// sources, without and with budgets: open, verify, pieces of 1/8 s of bytes with
// their questions, end, and the Steps between. All sources bring their bytes
// evenly, so that more of them mean more slices a second and not slower ones.
// The aim is 20 µs a slice, however many members there are: 1 GB/s in slices of
// 64 KiB is 16 000 a second.
func BenchmarkStep(b *testing.B) {
	for _, sources := range []int{4, 50, 200} {
		b.Run(fmt.Sprint(sources), func(b *testing.B) { benchmarkStep(b, sources, -1) })
		b.Run(fmt.Sprint(sources, "-budget"), func(b *testing.B) { benchmarkStep(b, sources, 1<<50) })
	}
}

func benchmarkStep(b *testing.B, sources int, budget int64) {
	const size, rate, piece = 1 << 50, 1 << 20, 125 * ms
	p := New(Default(size, 1<<30), size, true)
	reader := p.Join(at(0, size/cell), 0, 0)
	for range sources {
		p.SetBudget(p.AddSource(SourceInfo{Lanes: 1, RTT: 20 * ms, Rate: rate}), budget)
	}
	p.Adopt(1, at(0, size/cell), 20*ms, 0)
	now := Time(0)
	for range 20 {
		now += tickTime
		p.Step(now)
	}
	for i, slices := 0, -20*sources; slices < b.N; i++ { // the first ones are for warming up
		if slices == 0 {
			b.ResetTimer()
		}
		now += piece / Time(sources)
		q := p.reqs[i%len(p.reqs)]
		if !q.head {
			p.Opened(q.id, now)
		}
		_, step := p.Got(q.id, min(rate/8, max(1, q.rest())), now)
		if p.Want(q.id, now) < 0 {
			p.Ended(q.id, Done, 0, false, now)
			slices++
			step = true
		}
		if step {
			p.Read(reader, p.Have(p.reader(reader).pos).End, now)
			p.Step(now)
		}
	}
}
