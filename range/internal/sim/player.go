package main

import (
	"math/rand/v2"
	"time"

	"dtpx/range/internal/sched"
	"dtpx/range/internal/span"
)

const (
	seekEvery = 10 * time.Second
	playTime  = 90 * time.Second
	settled   = time.Second // a player gathers so much after a seek before it shows anything
)

// played is what a viewer noticed.
type played struct {
	rebuffered time.Duration // time in which something was missing while playing
	seek       time.Duration // longest time from a seek to its first byte
	seeks      int
}

// player reads at a bitrate in bytes/s, jumps to a random place every seekEvery
// and begins to show what is there a second later.
type player struct {
	*world
	bitrate float64
	credit  float64
	jumped  time.Duration
	got     bool // a byte since
	played
}

// watch plays a film of size bytes over links for playTime.
func watch(links []link, size, window int64, bitrate float64, seed uint64) played {
	rng := rand.New(rand.NewPCG(seed, 7))
	w := &world{links: links, size: size, rng: rng, conns: map[int]int{0: 1}, spent: map[int]int64{}}
	params := sched.Default(size, window)
	params.Jitter = rng.Float64
	w.plan = sched.New(params, size, false)
	w.begin()
	p := &player{world: w, bitrate: bitrate}
	w.reads = p.read
	for w.now < playTime {
		w.step()
	}
	return p.played
}

func (p *player) read() {
	if p.now-p.jumped >= seekEvery || p.pos >= p.size-int64(p.bitrate) {
		p.pos, p.jumped, p.got, p.credit = p.rng.Int64N(p.size*9/10), p.now, false, 0
		p.seeks++
		p.plan.Read(p.reader, p.pos, p.now)
	}
	p.plan.Waiting(p.reader, p.plan.Have(p.pos).Len() == 0, p.now)
	if !p.got && p.plan.Have(p.pos).Len() > 0 {
		p.got, p.seek = true, max(p.seek, p.now-p.jumped)
	}
	if p.now-p.jumped < settled {
		return
	}
	p.credit += p.bitrate * dt.Seconds()
	due := int64(p.credit)
	n := min(due, p.plan.Have(p.pos).Len())
	if n < due {
		p.credit = float64(n) // a viewer does not catch up
		p.rebuffered += dt
		p.plan.Waiting(p.reader, true, p.now)
	}
	p.credit -= float64(n)
	p.pos += n
	p.plan.Read(p.reader, p.pos, p.now)
	for _, gap := range p.plan.Unwanted(span.Range{Start: 0, End: p.size}) {
		p.plan.Forget(gap)
	}
}
