package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	ranges "dtpx/range"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
)

// acked is what the origin knows to have reached a room's address.
func (h *house) acked(r *hostel.Room) (n int64) {
	for _, e := range h.Origin.Log().Entries() {
		if host, _, _ := net.SplitHostPort(e.Remote); host == r.WAN.B.Addr() {
			n += max(0, e.Acked)
		}
	}
	return n
}

// lent adds up the room's ledger.json.
func (h *house) lent(r *hostel.Room) (n int64) {
	h.t.Helper()
	b, err := os.ReadFile(r.State("ledger.json"))
	must(h.t, err)
	for line := range bytes.Lines(b[:bytes.LastIndexByte(b, '\n')+1]) {
		var l struct{ Lent int64 }
		must(h.t, json.Unmarshal(line, &l))
		n += l.Lent
	}
	return n
}

// unread is what the kernel of a lender may hold for its tunnels.
const unread = mib

// A lender's quota ends in mid-slice; another lender is killed in mid-transfer
// and has what it lent on record; then nobody has any quota left.
func TestQuotas(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, mbps(4), mbps(4), mbps(4))
	alice, bob, carol := h.Rooms[0], h.Rooms[1], h.Rooms[2]
	must(t, alice.Serve(hostel.Lend))
	must(t, bob.Serve("cluster: {lend: {quota: 4MiB/day}}\n"))
	must(t, carol.Serve("cluster: {lend: {quota: 24MiB/day}}\n"))
	code := h.code()
	h.dtpx(bob, "group", "join", code)
	h.dtpx(carol, "group", "join", code)
	h.together()

	t.Run("ends in mid-slice", func(t *testing.T) {
		h := h.sub(t)
		d := h.fetch(alice, h.URL("https", "/24MiB/ends"), nil)
		t.Logf("%.1f s, longest gap %d ms, bob %+v", d.Total.Seconds(), d.Longest.Milliseconds(), h.source(alice, "bob"))
		if d.Longest > stallTime {
			t.Errorf("the reader got nothing for %v", d.Longest)
		}
		// What had come by the link and was not read when it ended counts, too.
		if n := h.lent(bob); n > 4*mib+unread || n < 3*mib {
			t.Errorf("lent %d of 4 MiB", n)
		}
		if n := h.acked(bob); n > 4*mib+unread || n < 3*mib {
			t.Errorf("%d bytes came over the link of one who lends 4 MiB", n)
		}
		t.Log(h.dtpx(alice, "status"))
	})
	t.Run("killed in mid-transfer", func(t *testing.T) {
		h := h.sub(t)
		var once sync.Once
		tunnels := 0
		h.fetch(alice, h.URL("https", "/16MiB/killed"), func(n int64) {
			if n > mib {
				once.Do(func() { tunnels = h.tunnels(carol); carol.Kill() })
			}
		})
		got, owes := h.acked(carol), h.lent(carol)
		carried, err := carol.WAN.A.Carried()
		must(t, err)
		t.Logf("%d bytes arrived, %d on record, %d on the wire, %d tunnels", got, owes, carried, tunnels)
		if tunnels == 0 {
			t.Error("nothing ran through carol")
		}
		if owes < got || owes > carried+int64(tunnels+1)*mib {
			t.Errorf("on record are %d bytes, %d arrived", owes, got)
		}
		must(t, carol.Start())
		h.together()
		if now := h.peers(carol).Self.Lent; now < got || now > owes {
			t.Errorf("after the restart %d bytes are lent, %d were on record", now, owes)
		}
	})
	t.Run("all used up", func(t *testing.T) {
		h := h.sub(t)
		h.fetch(alice, h.URL("https", "/32MiB/rest"), nil)
		t.Log(h.dtpx(alice, "status"), h.dtpx(bob, "peers"), h.dtpx(carol, "peers"))
		more := 0
		// Each round may give a little back, and is told of after 5 s.
		h.within(2*loseTime, "members have said that they have nothing left", func() bool {
			for _, p := range h.peers(alice).Members {
				if p.Left > 0 { // what a tunnel had reserved and did not use came back
					more++
					h.fetch(alice, h.URL("https", fmt.Sprintf("/8MiB/more%d", more)), nil)
					t.Logf("%s had %d bytes left: %+v", p.Name, p.Left, h.download(alice).Sources)
					return false
				}
			}
			return true
		})
		h.fetch(alice, h.URL("https", "/8MiB/alone"), nil)
		i := h.download(alice)
		if n := bySource(i)[ranges.KindPeer]; n > 0 {
			t.Errorf("borrowed %d bytes", n)
		}
		said := h.dtpx(alice, "status")
		if !strings.Contains(said, "used up") {
			t.Errorf("status does not say it: %s", said)
		}
		t.Log(said)
		if lent := h.lent(carol); lent > 24*mib+unread {
			t.Errorf("carol lent %d of 24 MiB", lent)
		}
	})
}

// Quotas of 40, 20, 10 and 10 MB, all of them full: a fair download takes from
// each in proportion.
func TestFair(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, mbps(6), mbps(6), mbps(6), mbps(6))
	allowances := []int64{40e6, 20e6, 10e6, 10e6}
	const quota = "cluster: {lend: {quota: %}}\n"
	must(t, h.Rooms[0].Serve("cluster: {spend: fair, cap: 40MB/day}\n"))
	for i, q := range []string{"20MB/day", "10MB/day", "10MB/day"} {
		must(t, h.Rooms[i+1].Serve(strings.Replace(quota, "%", q, 1)))
	}
	code := h.code()
	for _, r := range h.Rooms[1:] {
		h.dtpx(r, "group", "join", code)
	}
	h.together()
	h.fair("/32MiB/first", 32*mib, allowances)
	h.within(45*time.Second, "the requester knows what the others have left", func() bool {
		for _, p := range h.peers(h.Rooms[0]).Members {
			for _, r := range h.Rooms[1:] {
				if r.Name == p.Name && p.Left != h.peers(r).Self.Left {
					return false
				}
			}
		}
		return true
	})
	h.fair("/28MiB/second", 28*mib, allowances)
}

// fair downloads in the first room and compares what each source brought with
// the plan: after it, all have the same fraction of their allowances left.
func (h *house) fair(path string, size int64, allowances []int64) {
	h.t.Helper()
	left := []int64{allowances[0] - h.peers(h.Rooms[0]).Self.Own}
	for _, r := range h.Rooms[1:] {
		left = append(left, h.peers(r).Self.Left)
	}
	level := -float64(size)
	total := int64(0)
	for k := range left {
		level += float64(left[k])
		total += allowances[k]
	}
	level /= float64(total)
	d := h.fetch(h.Rooms[0], h.URL("https", path), nil)
	i := h.download(h.Rooms[0])
	h.t.Logf("%s: %.1f s", path, d.Total.Seconds())
	for k, r := range h.Rooms {
		got := bySource(i)[ranges.KindDirect]
		if k > 0 {
			got = h.source(h.Rooms[0], r.Name).Bytes
		}
		plan := left[k] - int64(level*float64(allowances[k]))
		off := float64(got-plan) / float64(plan)
		h.t.Logf("%-6s has %8d, planned %8d, brought %8d, %+.1f %%", r.Name, left[k], plan, got, off*100)
		// A tenth, or four of the first requests: on a loaded machine a link
		// that stands still for a moment loses them to another. Equal parts
		// would be off by 4 MiB and more; the bench measures it closely.
		if slack := max(plan/10, 1<<20); got > plan+slack || got < plan-slack {
			h.t.Errorf("%s is off the plan", r.Name)
		}
	}
}

// What a person sees who pulls a LAN cable in mid-download, with curl.
func TestCurlAndACable(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, mbps(4), mbps(4), mbps(4))
	h.group(hostel.Lend)
	alice, carol := h.Rooms[0], h.Rooms[2]
	const size = 48 * mib
	url := h.URL("https", "/48MiB/movie")
	out := filepath.Join(alice.Home, "movie")
	cmd := alice.Command(t.Context(), "curl", "-sS", "--fail", "-o", out, url)
	cmd.Env = append(cmd.Env, "https_proxy=http://127.0.0.1:3128", "CURL_CA_BUNDLE="+alice.State("bundle.pem"))
	var said bytes.Buffer
	cmd.Stderr = &said
	must(t, cmd.Start())
	eventually(t, "a third is there", func() bool {
		i, err := os.Stat(out)
		return err == nil && i.Size() > size/3
	})
	must(t, carol.Switch.Down())
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &said)
	}
	f, err := os.Open(out)
	must(t, err)
	defer f.Close()
	must(t, h.Content(url).Verify(f))
	for _, r := range []*hostel.Room{alice, h.Rooms[1]} {
		h.within(loseTime, r.Name+" has carol off the list", func() bool { return h.here(r) == 1 })
	}
	h.others(1, alice, h.Rooms[1])
	h.within(loseTime, "carol, without a cable, is alone", func() bool { return h.here(carol) == 0 })
	h.others(0, carol)
	h.account(url, size, carol)
}
