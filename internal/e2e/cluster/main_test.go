// Package cluster holds tests only: several dtpx in network namespaces, each
// with an internet link of its own and all on one LAN, through everything that
// can happen to them.
package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dtpx/cluster"
	ranges "dtpx/range"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
	"dtpx/internal/testbed/netns"
)

// patience bounds every wait; nothing comes near it unless something is broken.
const patience = time.Minute

const mib = 1 << 20

// mbit of a link that carries so many MB/s of content.
func mbps(n float64) int64 { return int64(n * 8e6) }

var binary string // of dtpx; write-once in TestMain

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "dtpx-cluster-")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "dtpx")
	args := []string{"build", "-race", "-o", binary, "dtpx/cmd/dtpx"}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		fmt.Printf("build dtpx: %v: %s\n", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// house is a hostel of a test.
type house struct {
	*hostel.House
	t testing.TB
}

func newHouse(t testing.TB, origin testbed.Config, links ...int64) *house {
	t.Helper()
	lab := netns.ForTest(t)
	dir, err := os.MkdirTemp("", "dtpx-house-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	h, err := hostel.New(lab, hostel.Config{Binary: binary, Dir: dir, Origin: origin, Links: links})
	must(t, err)
	t.Cleanup(func() {
		h.Close()
		for _, r := range h.Rooms {
			said := r.Log.String()
			if strings.Contains(said, "DATA RACE") || strings.Contains(said, "panic:") {
				t.Errorf("%s reports a race or a panic:\n%s", r.Name, said)
			} else if t.Failed() {
				t.Logf("%s said:\n%s", r.Name, said)
			}
		}
	})
	return &house{h, t}
}

// group starts dtpx in every room, makes a group in the first and has the
// others join it.
func (h *house) group(config string) {
	h.t.Helper()
	h.serve(config)
	code := h.code()
	for _, r := range h.Rooms[1:] {
		h.dtpx(r, "group", "join", code)
	}
	h.together()
}

func (h *house) serve(config string) {
	h.t.Helper()
	for _, r := range h.Rooms {
		must(h.t, r.Serve(config))
	}
}

// code makes a group in the first room.
func (h *house) code() string {
	h.t.Helper()
	h.dtpx(h.Rooms[0], "group", "new", "-name", "hostel")
	return strings.TrimSpace(h.dtpx(h.Rooms[0], "group", "code"))
}

func (h *house) dtpx(r *hostel.Room, args ...string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	out, err := r.Dtpx(ctx, args...)
	must(h.t, err)
	return out
}

// together waits until every node that runs knows every other as here.
func (h *house) together() {
	h.t.Helper()
	running := 0
	for _, r := range h.Rooms {
		if r.Running() {
			running++
		}
	}
	for _, r := range h.Rooms {
		if r.Running() {
			h.sees(r, running-1)
		}
	}
}

// sees waits until a node knows so many others as here.
func (h *house) sees(r *hostel.Room, others int) {
	h.t.Helper()
	eventually(h.t, fmt.Sprintf("%s sees %d others", r.Name, others), func() bool { return h.here(r) == others })
}

func (h *house) peers(r *hostel.Room) (i cluster.Info) {
	h.t.Helper()
	must(h.t, r.Get("/api/v1/peers", &i))
	return i
}

func (h *house) here(r *hostel.Room) (n int) {
	for _, p := range h.peers(r).Members {
		if p.State == "here" {
			n++
		}
	}
	return n
}

// download is what the API says of the newest one.
func (h *house) download(r *hostel.Room) ranges.Info {
	h.t.Helper()
	var ds []ranges.Info
	must(h.t, r.Get("/api/v1/downloads", &ds))
	if len(ds) == 0 {
		h.t.Fatal("no download is known")
	}
	return ds[0]
}

// fetch downloads a file of the origin in a room and checks its bytes.
func (h *house) fetch(r *hostel.Room, url string, each func(int64)) hostel.Download {
	h.t.Helper()
	d := r.Fetch(h.t.Context(), url, each)
	if d.Err != nil {
		h.t.Errorf("download in %s after %d bytes: %v", r.Name, d.Bytes, d.Err)
	} else if d.SHA256 != h.Content(url).SHA256() {
		h.t.Errorf("wrong bytes in %s", r.Name)
	}
	return d
}

// bySource is what each kind of source brought.
func bySource(i ranges.Info) map[string]int64 {
	m := map[string]int64{}
	for _, s := range i.Sources {
		m[s.Kind] += s.Bytes
	}
	return m
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls what has no way to tell us.
func eventually(t testing.TB, what string, done func() bool) time.Duration {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for ; !done(); <-tick.C {
		if time.Since(began) > patience {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
	return time.Since(began)
}
