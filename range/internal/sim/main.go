package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// each makes one link per rate, in MB/s, with a round trip of 30 ms.
func each(rates ...float64) func(*rand.Rand) []link {
	return func(*rand.Rand) []link {
		var ls []link
		for _, r := range rates {
			ls = append(ls, link{rate: constant(r * mb), rtt: 30 * time.Millisecond})
		}
		return ls
	}
}

// with replaces the last of four equal links.
func with(last link) func(*rand.Rand) []link {
	return func(rng *rand.Rand) []link {
		last.rtt = 30 * time.Millisecond
		return append(each(2, 2, 2)(rng), last)
	}
}

// one4 is each(4, 4, 4) and last.
func one4(last link) func(*rand.Rand) []link {
	return func(rng *rand.Rand) []link {
		last.rtt = 30 * time.Millisecond
		return append(each(4, 4, 4)(rng), last)
	}
}

// delayed are four links of 4 MB/s to which connecting takes its time as well.
func delayed(rtt time.Duration) func(*rand.Rand) []link {
	return func(rng *rand.Rand) []link {
		ls := each(4, 4, 4, 4)(rng)
		for i := range ls {
			ls[i].rtt, ls[i].dial = rtt, true
		}
		return ls
	}
}

// tcp are links of 4 MB/s far away whose connections gather speed: this machine's
// own, and neighbours'.
func tcp(rtt time.Duration, n int) func(*rand.Rand) []link {
	return func(*rand.Rand) []link {
		ls := []link{{rate: constant(4 * mb), lanes: 16, rtt: rtt, tcp: true, trips: 2}}
		for len(ls) < n {
			ls = append(ls, link{rate: constant(4 * mb), rtt: rtt, tcp: true, trips: 2})
		}
		return ls
	}
}

// own16 are a hostel's links as they are: nothing keeps the own line from
// having more connections.
func own16(*rand.Rand) []link {
	ls := delayed(10 * time.Millisecond)(nil)
	ls[0].lanes = 16
	return ls
}

// far is a server a long way off that limits each connection to 2 MB/s.
func far(rtt time.Duration) func(*rand.Rand) []link {
	return func(*rand.Rand) []link {
		return []link{{rate: constant(2 * mb), perConn: true, lanes: 16, rtt: rtt, dial: true}}
	}
}

// uplinks are links of one lane and a rate in MB/s; those with the same number
// share it, those with 0 have it alone.
func uplinks(rate float64, shared ...int) (ls []link) {
	for _, n := range shared {
		ls = append(ls, link{rate: constant(rate * mb), rtt: 20 * time.Millisecond, uplink: n})
	}
	return ls
}

const size = 256e6

var scenarios = []scenario{
	{name: "equal 4x2", size: size, links: each(2, 2, 2, 2)},
	{name: "equal 4x4, 64 MB", size: 64e6, links: each(4, 4, 4, 4), known: true},
	{name: "unequal 8/4/1/0.2", size: size, links: each(8, 4, 1, 0.2)},
	{name: "unequal, slice 0 on the slowest", size: size, links: each(0.2, 8, 4, 1)},
	{name: "one fast 60/3/2/1", size: size, links: each(60, 3, 2, 1)},
	{name: "one fast, slice 0 on the slowest", size: size, links: each(1, 60, 3, 2)},
	{name: "changing 1-6", size: size, links: func(rng *rand.Rand) (ls []link) {
		for range 4 {
			ls = append(ls, link{rate: changing(rng, 1*mb, 6*mb), rtt: 30 * time.Millisecond})
		}
		return ls
	}},
	{name: "black hole at 10 s", size: size, links: with(link{rate: until(10*time.Second, 2*mb, 0)})},
	{name: "slice 0 a black hole at 10 s", size: size, links: func(rng *rand.Rand) []link {
		ls := each(2, 2, 2, 2)(rng)
		ls[0].rate = until(10*time.Second, 2*mb, 0)
		return ls
	}},
	{name: "slice 0 silent from the start", size: size, links: func(rng *rand.Rand) []link {
		ls := each(2, 2, 2, 2)(rng)
		ls[0].rate = until(10*time.Millisecond, 2*mb, 0)
		return ls
	}},
	{name: "reset at 10 s for good", size: size, links: with(link{rate: constant(2 * mb),
		dead: func(t time.Duration) bool { return t > 10*time.Second }})},
	{name: "resets every 3 s", size: size, links: with(link{rate: constant(2 * mb),
		dead: func(t time.Duration) bool { return t%(3*time.Second) < 200*time.Millisecond && t > time.Second }})},
	{name: "trickle at 10 s", size: size, links: with(link{rate: until(10*time.Second, 2*mb, 1000)})},
	{name: "pausing 0.3-2 s", size: size, links: func(rng *rand.Rand) (ls []link) {
		for range 4 {
			ls = append(ls, link{rate: pausing(rng, 2*mb), rtt: 30 * time.Millisecond})
		}
		return ls
	}},
	{name: "2 MB/s a connection, 16", size: size, links: func(*rand.Rand) []link {
		return []link{{rate: constant(2 * mb), perConn: true, lanes: 16, rtt: 10 * time.Millisecond}}
	}},
	{name: "2 MB/s a connection, 16, 64 MB", size: 64e6, links: func(*rand.Rand) []link {
		return []link{{rate: constant(2 * mb), perConn: true, lanes: 16, rtt: 10 * time.Millisecond}}
	}},
	{name: "2 MB/s a connection, limit 3, 64 MB", size: 64e6, links: func(*rand.Rand) []link {
		return []link{{rate: constant(2 * mb), perConn: true, lanes: 16, conns: 3, rtt: 10 * time.Millisecond}}
	}},
	{name: "2 MB/s a connection, 16, 60 ms", size: 128e6, links: far(60 * time.Millisecond)},
	{name: "2 MB/s a connection, 16, 200 ms", size: 128e6, links: far(200 * time.Millisecond)},
	{name: "one link 12 MB/s, 16 lanes", size: 128e6, links: func(*rand.Rand) []link {
		return []link{{rate: constant(12 * mb), lanes: 16, rtt: 10 * time.Millisecond}}
	}},
	{name: "two interfaces, one uplink of 8 MB/s", size: 128e6, links: func(*rand.Rand) []link {
		l := link{rate: constant(8 * mb), lanes: 8, rtt: 10 * time.Millisecond, uplink: 1}
		return []link{l, l}
	}},
	{name: "requester and peers 2, 3 of 4 behind one uplink", size: size, links: func(*rand.Rand) []link {
		return uplinks(4, 1, 1, 1, 0)
	}},
	{name: "two peers behind one uplink, one alone", size: size, links: func(*rand.Rand) []link {
		return uplinks(4, 0, 1, 1, 0)
	}},
	{name: "requester shares with one of three peers", size: size, links: func(*rand.Rand) []link {
		return uplinks(4, 1, 0, 1, 0)
	}},
	{name: "all of 12 behind one uplink", size: 64e6, links: func(*rand.Rand) []link {
		return uplinks(8, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	}},
	{name: "8 of 12 behind one uplink", size: size, links: func(*rand.Rand) []link {
		return uplinks(4, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1)
	}},
	{name: "peers 4x4", size: size, links: each(4, 4, 4, 4), known: true},
	{name: "one of 4 peers killed at half time", size: size, links: one4(link{rate: constant(4 * mb),
		dead: func(t time.Duration) bool { return t > 8*time.Second }})},
	{name: "one of 4 peers silent at half time", size: size, links: one4(link{rate: until(8*time.Second, 4*mb, 0)})},
	{name: "one of 4 peers out of quota in mid-slice", size: size, links: one4(link{rate: constant(4 * mb), quota: 31e6})},
	{name: "one of 4 peers pausing 0.3-2 s", size: size, links: func(rng *rand.Rand) []link {
		return one4(link{rate: pausing(rng, 4*mb)})(rng)
	}},
	{name: "own line silent at half time", size: size, links: func(rng *rand.Rand) []link {
		ls := each(4, 4, 4, 4)(rng)
		ls[0].rate = until(8*time.Second, 4*mb, 0)
		return ls
	}},
	{name: "peers 4x4, 40 ms", size: size, links: delayed(40 * time.Millisecond), known: true},
	{name: "peers 4x4, 120 ms", size: size, links: delayed(120 * time.Millisecond), known: true},
	{name: "TCP, one link alone, 120 ms", size: size / 4, links: tcp(120*time.Millisecond, 1)},
	{name: "TCP, own line of 16 lanes, 3 peers, 40 ms", size: size, links: tcp(40*time.Millisecond, 4)},
	{name: "TCP, own line of 16 lanes, 3 peers, 120 ms", size: size, links: tcp(120*time.Millisecond, 4)},
	{name: "TCP, 2 MB/s a connection, 16 lanes, 3 peers, 120 ms", size: 4 * size, links: func(*rand.Rand) []link {
		ls := tcp(120*time.Millisecond, 4)(nil)
		for i := range ls {
			ls[i].rate, ls[i].perConn = constant(2*mb), true
		}
		return ls
	}},
	{name: "own line of 16 lanes, 3 peers", size: size, links: own16},
	{name: "own line of 16 lanes, 3 peers, 64 MB", size: 64e6, links: own16, known: true},
	{name: "peers 8/4/2/1", size: size, links: each(8, 4, 2, 1), known: true},
	{name: "two links of 4 MB/s, 16 lanes", size: 128e6, links: func(*rand.Rand) []link {
		l := link{rate: constant(4 * mb), lanes: 16, rtt: 10 * time.Millisecond}
		return []link{l, l}
	}},
}

func main() {
	only := flag.String("run", "", "play only scenarios whose name contains this")
	seeds := flag.Int("seeds", 3, "random seeds; the worst result is printed")
	flag.Parse()
	fmt.Printf("%-38s %8s %10s %8s %10s %9s %7s\n", "scenario", "window", "x ideal", "stall", "stalled", "dup", "reqs")
	for _, s := range scenarios {
		if !strings.Contains(s.name, *only) {
			continue
		}
		for _, w := range []int64{8, 32, 64, 256} {
			r := worst(s, w<<20, *seeds)
			fmt.Printf("%-38s %5d MB %10.3f %8s %10s %8.2f%% %7d%s\n", s.name, w, r.over(),
				r.stall.Round(10*time.Millisecond), r.stalled.Round(10*time.Millisecond), 100*r.dup(s.size), r.requests, note(r))
		}
	}
}

func note(r result) string {
	switch {
	case r.failed:
		return "  FAILED"
	case r.parked != "":
		return "  parked:" + r.parked
	case r.refused > 0:
		return fmt.Sprintf("  %d refused", r.refused)
	}
	return ""
}

// worst is the result with the largest time over ideal among the seeds.
func worst(s scenario, w int64, seeds int) (bad result) {
	for seed := range seeds {
		r := run(s, w, uint64(seed))
		if r.failed || r.over() > bad.over() || bad.ideal == 0 {
			bad = r
		}
		if r.failed {
			return r
		}
	}
	return bad
}
