package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"dtpx/internal/testbed"
)

// single is what one link of 4 MB/s does alone: headers count.
type single struct {
	content  float64 // bytes of content per second of a link of 1 MB/s
	overhead float64 // bytes on the link for one of content
}

var alone = sync.OnceValues(func() (s single, err error) {
	b, err := newBench(1)
	if err != nil {
		return s, err
	}
	defer b.close()
	h, err := b.house(testbed.Config{NoH2: true}, "", 4)
	if err != nil {
		return s, err
	}
	defer h.close()
	r := h.Rooms[0]
	const size = 48
	before, _ := r.WAN.A.Carried()
	c, err := b.curl(r.Command, size*mib, h.URL("https", fmt.Sprintf("/%dMiB/one", size)), "--cacert", h.CA)
	after, _ := r.WAN.A.Carried()
	return single{size * mib / c.total / 4, float64(after-before) / (size * mib)}, err
})

func content() (float64, error) {
	s, err := alone()
	return s.content, err
}

// sumOf is the content rate of links of so many MB/s.
func sumOf(links ...float64) (float64, error) {
	one, err := content()
	sum := 0.0
	for _, l := range links {
		sum += l * one
	}
	return sum, err
}

const unlimited = "cluster: {lend: {quota: 0}}\n"

// equal: four nodes of 4 MB/s each.
func (b *bench) equalLinks(size int, target float64) ([]row, error) {
	links := []float64{4, 4, 4, 4}
	ideal, err := sumOf(links...)
	if err != nil {
		return nil, err
	}
	h, err := b.house(testbed.Config{NoH2: true}, unlimited, links...)
	if err != nil {
		return nil, err
	}
	defer h.close()
	name := fmt.Sprintf("4 nodes of 4 MB/s, %d MiB", size)
	var times, waste, off, relay, front []float64
	note, told := "", ""
	for range b.rounds {
		t, err := h.fetch(h.Rooms[0], size, nil)
		if err != nil {
			return nil, err
		}
		told = fmt.Sprintf("acknowledged twice; on the wire %.2f %% more than one link alone; by its own account", 100*onWire(t, size))
		for _, s := range t.info.Sources {
			told += fmt.Sprintf(" %d of %d requests,", s.Wasted>>10, s.Requests)
		}
		told += fmt.Sprintf(" KiB; %d KiB twice", t.info.Duplicate>>10)
		times = append(times, t.Total.Seconds()*ideal/float64(size*mib))
		waste = append(waste, 100*wasted(t, size))
		worst := 0.0
		for _, w := range t.wan {
			worst = max(worst, abs(float64(w)*4/float64(t.sum())-1))
		}
		off = append(off, 100*worst)
		gib := float64(size) / 1024
		relay = append(relay, t.cpu[1].Seconds()/(gib*float64(t.wan[1])/float64(t.sum())))
		front = append(front, t.cpu[0].Seconds()/gib)
		note = fmt.Sprintf("%.2f s, first byte %.0f ms, longest gap %.0f ms, by link %s", t.Total.Seconds(), t.First.Seconds()*1e3, t.Longest.Seconds()*1e3, shares(t))
	}
	rows := []row{
		{name, "time / ideal", median(times), target, true, note},
		{name, "off a quarter of the bytes, %", median(off), 5, true, "WAN bytes of the worst node"},
		{name, "wasted and duplicate bytes, %", median(waste), 0.5, true, told},
	}
	if size >= 256 {
		rows = append(rows, row{name, "CPU s/GiB of a relay", median(relay), 4, true, ""},
			row{name, "CPU s/GiB of the requester", median(front), 6, true, ""})
	}
	return rows, nil
}

// wasted is what the origin sent and somebody's kernel acknowledged beyond the
// content, as a part of it: bytes that a link has carried for nothing.
func wasted(t trip, size int) float64 {
	return float64(t.asked.Total-int64(size*mib)) / float64(size*mib)
}

// onWire is the part of the bytes on the links beyond the content with the headers
// that it has on one link alone. How many headers there are depends on how the
// kernel bundles segments on a virtual cable, so this is no measure of waste.
func onWire(t trip, size int) float64 {
	s, _ := alone()
	return float64(t.sum())/(s.overhead*float64(size*mib)) - 1
}

func abs(f float64) float64 { return max(f, -f) }

func shares(t trip) string {
	var s []string
	for _, w := range t.wan {
		s = append(s, fmt.Sprintf("%.1f %%", 100*float64(w)/float64(t.sum())))
	}
	return strings.Join(s, " ")
}

// farLinks: four nodes of 4 MB/s, the origin a round trip away; the ideal is what
// one such link carries alone, with its slow start.
func (b *bench) farLinks() ([]row, error) {
	const size = 256
	var rows []row
	for _, rtt := range []time.Duration{40 * time.Millisecond, 120 * time.Millisecond} {
		h, err := b.farHouse(rtt/2, testbed.Config{NoH2: true}, unlimited, 4, 4, 4, 4)
		if err != nil {
			return rows, err
		}
		defer h.close()
		alone, err := b.curl(h.Rooms[0].Command, 64*mib, h.URL("https", "/64MiB/alone"), "--cacert", h.CA)
		if err != nil {
			return rows, err
		}
		ideal := alone.total * size / 64 / 4
		var times []float64
		note := ""
		for range b.rounds {
			t, err := h.fetch(h.Rooms[0], size, nil)
			if err != nil {
				return rows, err
			}
			times = append(times, t.Total.Seconds()/ideal)
			note = fmt.Sprintf("%.2f s, ideal %.2f s, longest gap %.0f ms", t.Total.Seconds(), ideal, t.Longest.Seconds()*1e3)
		}
		rows = append(rows, row{fmt.Sprintf("4 nodes, %d ms round trip, 256 MiB", rtt.Milliseconds()), "time / ideal", median(times), 1.05, true, note})
	}
	return rows, nil
}

// unequalLinks: 8/4/2/1 MB/s, asked from the fastest and from the slowest.
func (b *bench) unequalLinks() ([]row, error) {
	links := []float64{8, 4, 2, 1}
	ideal, err := sumOf(links...)
	if err != nil {
		return nil, err
	}
	h, err := b.house(testbed.Config{NoH2: true}, unlimited, links...)
	if err != nil {
		return nil, err
	}
	defer h.close()
	const size = 256
	var rows []row
	for who, i := range map[string]int{"fastest": 0, "slowest": 3} {
		var times []float64
		note := ""
		for range b.rounds {
			t, err := h.fetch(h.Rooms[i], size, nil)
			if err != nil {
				return rows, err
			}
			times = append(times, t.Total.Seconds()*ideal/(size*mib))
			note = fmt.Sprintf("%.2f s, longest gap %.0f ms, by link %s, waste %.2f %%", t.Total.Seconds(), t.Longest.Seconds()*1e3, shares(t), 100*wasted(t, size))
		}
		rows = append(rows, row{"8/4/2/1 MB/s, from the " + who, "time / ideal", median(times), 1.03, true, note})
	}
	return rows, nil
}

// twoMachines: the case of 2021.
func (b *bench) twoMachines() ([]row, error) {
	one, err := sumOf(4)
	if err != nil {
		return nil, err
	}
	h, err := b.house(testbed.Config{NoH2: true}, unlimited, 4, 4)
	if err != nil {
		return nil, err
	}
	defer h.close()
	const size = 256
	var gain []float64
	note := ""
	for range b.rounds {
		t, err := h.fetch(h.Rooms[0], size, nil)
		if err != nil {
			return nil, err
		}
		gain = append(gain, size*mib/one/t.Total.Seconds())
		note = fmt.Sprintf("%.2f s; one machine %.2f s; longest gap %.0f ms", t.Total.Seconds(), size*mib/one, t.Longest.Seconds()*1e3)
	}
	return []row{{"two machines, 256 MiB (2021)", "rate / one machine", median(gain), 1.97, false, note}}, nil
}

// perIP: fast links, an origin that gives each address 2 MB/s.
func (b *bench) perIP() ([]row, error) {
	h, err := b.house(testbed.Config{NoH2: true, Limits: testbed.Limits{PerIP: 2e6}}, unlimited, 50, 50, 50, 50, 50)
	if err != nil {
		return nil, err
	}
	defer h.close()
	s, err := b.curl(h.Rooms[0].Command, 16*mib, h.URL("https", "/16MiB/one"), "--cacert", h.CA)
	if err != nil {
		return nil, err
	}
	one := 16 * mib / s.total
	const size = 128
	var gain []float64
	note := ""
	for range b.rounds {
		t, err := h.fetch(h.Rooms[0], size, nil)
		if err != nil {
			return nil, err
		}
		gain = append(gain, size*mib/one/t.Total.Seconds())
		note = fmt.Sprintf("%.2f s; one address %.2f MB/s; by link %s", t.Total.Seconds(), one/1e6, shares(t))
	}
	return []row{{"2 MB/s per address, 5 nodes, 128 MiB", "rate / one address", median(gain), 0.98 * 5, false, note}}, nil
}
