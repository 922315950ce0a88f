package sched

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkStep is the scheduler's work for one slice among few and many
// sources, without and with budgets: open, verify, eight pieces of bytes with
// their questions, end, and the Steps between. The aim is 20 µs a slice, however
// many members there are: 1 GB/s in slices of 64 KiB is 16 000 a second.
func BenchmarkStep(b *testing.B) {
	for _, sources := range []int{4, 50, 200} {
		b.Run(fmt.Sprint(sources), func(b *testing.B) { benchmarkStep(b, sources, -1) })
		b.Run(fmt.Sprint(sources, "-budget"), func(b *testing.B) { benchmarkStep(b, sources, 1<<50) })
	}
}

func benchmarkStep(b *testing.B, sources int, budget int64) {
	const size = 1 << 50
	p := New(Default(size, 1<<30), size, true)
	reader := p.Join(at(0, size/cell), 0, 0)
	for range sources {
		p.SetBudget(p.AddSource(SourceInfo{Lanes: 1, RTT: 20 * ms, Rate: 1 << 20}), budget)
	}
	p.Adopt(1, at(0, size/cell), 20*ms, 0)
	now := Time(0)
	for range 20 {
		now += 50 * ms
		p.Step(now)
	}
	b.ResetTimer()
	for i := range b.N {
		q := p.reqs[i%len(p.reqs)]
		now += time.Second / time.Duration(sources)
		if !q.head {
			p.Opened(q.id, now)
		}
		for range 8 {
			p.Got(q.id, max(1, q.rest()/8), now)
			p.Want(q.id, now)
		}
		p.Ended(q.id, Done, 0, false, now)
		p.Read(reader, p.Have(p.reader(reader).pos).End, now)
		p.Step(now)
	}
}
