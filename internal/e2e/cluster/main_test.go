// Package cluster holds tests only: several dtpx in network namespaces, each
// with an internet link of its own and all on one LAN, through everything that
// can happen to them.
package cluster

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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

// Programs: dtpx, and a member that asks relays for anything; write-once in TestMain.
var binary, asker string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "dtpx-cluster-")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	binary, asker = filepath.Join(dir, "dtpx"), filepath.Join(dir, "asker")
	args := []string{"build", "-race", "-o", dir, "dtpx/cmd/dtpx", "dtpx/cluster/internal/asker"}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		fmt.Printf("build dtpx: %v: %s\n", err, out)
		os.Exit(1)
	}
	flag.Parse()
	// Tests wait for shaped links and for timers more than they compute.
	if f := flag.Lookup("test.parallel"); f.Value.String() == fmt.Sprint(runtime.GOMAXPROCS(0)) {
		_ = flag.Set("test.parallel", fmt.Sprint(2*runtime.GOMAXPROCS(0)))
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
	return build(t, hostel.Config{Origin: origin, Links: links})
}

// build makes a house of any kind.
func build(t testing.TB, c hostel.Config) *house {
	t.Helper()
	lab := netns.ForTest(t)
	dir, err := os.MkdirTemp("", "dtpx-house-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	c.Binary, c.Dir = binary, dir
	h, err := hostel.New(lab, c)
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

// source is the one with that name in the newest download, zero if none is.
func (h *house) source(r *hostel.Room, name string) (found ranges.SourceInfo) {
	h.t.Helper()
	for _, s := range h.download(r).Sources {
		if strings.HasPrefix(s.Name, name+" ") {
			found = s
		}
	}
	return found
}

// tunnels are the connections that a room's machine has to the origin.
func (h *house) tunnels(r *hostel.Room) (n int) {
	h.t.Helper()
	all, err := r.Sockets()
	must(h.t, err)
	for _, s := range all {
		if strings.HasSuffix(s, " "+hostel.Addr1+":443") {
			n++
		}
	}
	return n
}

// bound is everything that a room's machine can be reached at, over TCP and UDP,
// IPv4 and IPv6, whoever it is for.
func (h *house) bound(r *hostel.Room) (all []string) {
	h.t.Helper()
	sockets, err := r.Sockets()
	must(h.t, err)
	for _, s := range sockets {
		if at, ok := strings.CutSuffix(s, " -"); ok {
			all = append(all, at)
		}
	}
	return all
}

// listens reports whether anything of a room waits on the peer port.
func (h *house) listens(r *hostel.Room) bool {
	h.t.Helper()
	all, err := r.Sockets()
	must(h.t, err)
	for _, s := range all {
		if strings.HasSuffix(s, ":3129 -") {
			return true
		}
	}
	return false
}

// within is eventually with the time it took in the log, and a bound that the
// issue gives, with margin.
func (h *house) within(bound time.Duration, what string, done func() bool) {
	h.t.Helper()
	took := eventually(h.t, what, done)
	h.t.Logf("%-60s %5.2f s", what, took.Seconds())
	if took > bound {
		h.t.Errorf("%s: took %v, want at most %v", what, took, bound)
	}
}

// sub is the house in a subtest.
func (h *house) sub(t testing.TB) *house { return &house{h.House, t} }

// fails runs a command of dtpx that must not work, and returns its one line.
func (h *house) fails(r *hostel.Room, args ...string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	cmd := r.Command(ctx, binary, args...)
	out, err := cmd.CombinedOutput()
	said := strings.TrimSpace(string(out))
	if code := cmd.ProcessState.ExitCode(); err == nil || code != 1 && code != 2 {
		h.t.Errorf("dtpx %q: exit status %d, %v: %s", args, code, err, said)
	}
	if strings.Contains(said, "\n") || !strings.HasPrefix(said, "dtpx: ") {
		h.t.Errorf("dtpx %q says more than a line: %s", args, said)
	}
	return said
}

// fetch downloads a file of the origin in a room and checks its bytes.
func (h *house) fetch(r *hostel.Room, url string, each func(int64)) hostel.Download {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	d := r.Fetch(ctx, url, each)
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
