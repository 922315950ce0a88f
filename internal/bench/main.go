// Command bench measures dtpx against other programs, or against the ideal, in
// one and the same run, and prints a table of ratios:
//
//	go run ./internal/bench             # everything; needs root for the shaped links
//	go run ./internal/bench -run limit  # cases whose name contains "limit"
//	go run ./internal/bench -rounds 5   # more rounds; the median counts
//
// It starts the real binaries as a person would: the testbed's origin, dtpx
// with a fresh state, curl as the client, aria2c as the rival. Rounds of the
// two sides alternate, so that a noisy machine disturbs both alike. Targets
// are those of the issue; a missed one is marked, never hidden.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

// row is one line of the table.
type row struct {
	name   string
	figure string // what was measured
	value  float64
	target float64
	atMost bool   // value must be at most target; otherwise at least
	note   string // the absolute numbers behind it
}

func (r row) ok() bool {
	if r.atMost {
		return r.value <= r.target
	}
	return r.value >= r.target
}

func (r row) String() string {
	sign, mark := "≥", "ok"
	if r.atMost {
		sign = "≤"
	}
	if !r.ok() {
		mark = "MISSED"
	}
	return fmt.Sprintf("%-34s %-30s %9.3f  %s %-8.4g %-6s %s", r.name, r.figure, r.value, sign, r.target, mark, r.note)
}

// benchCase is a set of rows measured together.
type benchCase struct {
	name string
	run  func(b *bench) ([]row, error)
}

var cases = []benchCase{
	{"throttled https 512", func(b *bench) ([]row, error) { return b.throttled("https", 512) }},
	{"throttled http 512", func(b *bench) ([]row, error) { return b.throttled("http", 512) }},
	{"throttled https 64", func(b *bench) ([]row, error) { return b.throttled("https", 64) }},
	{"throttled http 64", func(b *bench) ([]row, error) { return b.throttled("http", 64) }},
	{"first byte", (*bench).firstByte},
	{"limit of 3", (*bench).limited},
	{"link of 100 Mbit/s", (*bench).link},
	{"loopback", (*bench).loopback},
	{"two interfaces", (*bench).interfaces},
	{"far link", (*bench).farLink},
	{"delay and loss", (*bench).delays},
	{"memory 8 GiB", (*bench).memory},
	{"memory slow client", (*bench).slowClient},
	{"faults", (*bench).faults},
	{"cache hit 256", (*bench).cacheHit},
	{"cache hit https", (*bench).cacheHitTLS},
	{"cache small", (*bench).cacheSmall},
	{"cache fill", (*bench).cacheFill},
	{"cache crowd", (*bench).cacheCrowd},
	{"cache apt", (*bench).cacheApt},
	{"cache memory", (*bench).cacheMemory},
	{"cache lan", (*bench).cacheLAN},
	{"hostel equal 256", func(b *bench) ([]row, error) { return b.equalLinks(256, 1.02) }},
	{"hostel equal 64", func(b *bench) ([]row, error) { return b.equalLinks(64, 1.03) }},
	{"hostel unequal", (*bench).unequalLinks},
	{"hostel changing", (*bench).changingLinks},
	{"hostel dying", (*bench).dying},
	{"hostel far", (*bench).farLinks},
	{"hostel two machines", (*bench).twoMachines},
	{"hostel player", (*bench).player},
	{"hostel per address", (*bench).perIP},
	{"hostel fair", (*bench).fair},
	{"hostel ceiling", (*bench).ceiling},
	{"hostel matrix", (*bench).matrix},
	{"hostel pairs", (*bench).pairs},
	{"hostel idle", (*bench).idle},
	{"hostel clients", (*bench).crowding},
	{"hostel 200", (*bench).house200},
}

func main() {
	if len(os.Args) == 3 {
		if serve := map[string]func(string) error{"bare": bareProxy, "bare-relay": bareRelay, "bare-front": bareFront}[os.Args[1]]; serve != nil {
			fail(serve(os.Args[2]))
			return
		}
	}
	only := flag.String("run", "", "only cases whose name contains this")
	rounds := flag.Int("rounds", 3, "rounds of each side; the median counts")
	flag.Parse()
	b, err := newBench(*rounds)
	fail(err)
	missed := 0
	fmt.Printf("%-34s %-30s %9s  %-10s\n", "case", "figure", "measured", "target")
	for _, c := range cases {
		if !strings.Contains(c.name, *only) {
			continue
		}
		rows, err := c.run(b)
		for _, r := range rows {
			fmt.Println(r)
			if !r.ok() {
				missed++
			}
		}
		if err != nil {
			fmt.Printf("%-34s could not be measured: %v\n", c.name, err)
			missed++
		}
	}
	b.close()
	fmt.Printf("\n%d missed\n", missed)
	if missed > 0 {
		os.Exit(1)
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	if len(v) == 0 {
		return 0
	}
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
