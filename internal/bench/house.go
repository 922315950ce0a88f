package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"dtpx/cluster"
	ranges "dtpx/range"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
	"dtpx/internal/testbed/netns"
)

// house is a hostel whose rooms are in one group.
type house struct {
	*hostel.House
	b   *bench
	lab *netns.Lab
	n   int

	option string // of the next URLs
}

// mbps is the shaping of a link of so many megabytes per second.
func mbps(n float64) int64 { return int64(n * 8e6) }

func (b *bench) house(origin testbed.Config, config string, links ...float64) (*house, error) {
	return b.farHouse(0, origin, config, links...)
}

// farHouse has internet links with a delay, one way.
func (b *bench) farHouse(delay time.Duration, origin testbed.Config, config string, links ...float64) (*house, error) {
	lab, err := netns.New()
	if err != nil {
		return nil, err
	}
	h := &house{b: b, lab: lab}
	var bits []int64
	for _, l := range links {
		bits = append(bits, mbps(l))
	}
	dir := b.fresh("house")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return h, err
	}
	if h.House, err = hostel.New(lab, hostel.Config{Binary: b.path("dtpx"), Dir: dir, Origin: origin, Links: bits, Delay: delay}); err != nil {
		h.close()
		return nil, err
	}
	if err := h.group(config); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *house) close() {
	if h.House != nil {
		h.House.Close()
	}
	h.lab.Close()
}

// group makes all rooms members of one group and waits until they know it.
func (h *house) group(config string) error {
	ctx := context.Background()
	for _, r := range h.Rooms {
		if err := r.Serve(config); err != nil {
			return err
		}
	}
	if len(h.Rooms) < 2 {
		return nil
	}
	if _, err := h.Rooms[0].Dtpx(ctx, "group", "new"); err != nil {
		return err
	}
	code, err := h.Rooms[0].Dtpx(ctx, "group", "code")
	if err != nil {
		return err
	}
	for _, r := range h.Rooms[1:] {
		if _, err := r.Dtpx(ctx, "group", "join", strings.TrimSpace(code)); err != nil {
			return err
		}
	}
	return h.together()
}

func (h *house) together() error {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		all := true
		for _, r := range h.Rooms {
			var i cluster.Info
			if err := r.Get("/api/v1/peers", &i); err != nil {
				return err
			}
			here := 0
			for _, p := range i.Members {
				if p.State == "here" {
					here++
				}
			}
			all = all && here == len(h.Rooms)-1
		}
		if all {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("the rooms do not find each other")
		}
	}
}

// trip is one download and what it cost.
type trip struct {
	hostel.Download
	wan   []int64 // bytes on each room's link, headers included
	cpu   []time.Duration
	info  ranges.Info
	asked testbed.Stats // what the origin saw of it
}

func (t trip) sum() (n int64) {
	for _, w := range t.wan {
		n += w
	}
	return n
}

// fetch downloads a file of so many MiB in a room, and checks it.
func (h *house) fetch(r *hostel.Room, size int, each func(int64)) (trip, error) {
	h.n++
	var options []string
	if h.option != "" {
		options = append(options, h.option)
	}
	path := fmt.Sprintf("/%dMiB/hostel%d", size, h.n)
	url := h.URL("https", path, options...)
	wan, cpu := h.carried(), h.cpu()
	t := trip{Download: r.Fetch(context.Background(), url, each)}
	time.Sleep(300 * time.Millisecond) // what was cut still drains
	for i, w := range h.carried() {
		t.wan = append(t.wan, w-wan[i])
	}
	for i, c := range h.cpu() {
		t.cpu = append(t.cpu, c-cpu[i])
	}
	if t.Err != nil {
		return t, t.Err
	}
	if t.SHA256 != h.Content(url).SHA256() {
		return t, errors.New("wrong bytes")
	}
	var ds []ranges.Info
	if err := r.Get("/api/v1/downloads", &ds); err != nil {
		return t, err
	}
	if len(ds) > 0 {
		t.info = ds[0]
	}
	t.asked = h.Origin.Log().Stats(path)
	return t, nil
}

func (h *house) carried() (all []int64) {
	for _, r := range h.Rooms {
		n, _ := r.WAN.A.Carried()
		all = append(all, n)
	}
	return all
}

// cpu is what each running dtpx has used.
func (h *house) cpu() (all []time.Duration) {
	for _, r := range h.Rooms {
		d := time.Duration(0)
		if r.Running() {
			d = cpuOf(r.PID())
		}
		all = append(all, d)
	}
	return all
}

// cpuOf reads /proc: user and system time in ticks of 10 ms.
func cpuOf(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	var user, system int64
	f := strings.Fields(rest)
	if len(f) > 12 {
		fmt.Sscan(f[11], &user)
		fmt.Sscan(f[12], &system)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

func readInts(path string, into ...*int64) {
	b, err := os.ReadFile(path)
	if err != nil {
		return
	}
	for i, f := range strings.Fields(string(b)) {
		if i < len(into) {
			fmt.Sscan(f, into[i])
		}
	}
}
