package cluster

import (
	"strings"
	"sync"
	"testing"
	"time"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
)

// cut downloads in room r and, when some of it has come, does something, after
// which the tunnels of the lenders must end, while the download goes on. Then
// the room's own link becomes a fast one, to save the test time.
func (h *house) cut(r *hostel.Room, name string, do func(), lenders ...*hostel.Room) {
	h.t.Helper()
	const some = 2 * mib
	url := h.URL("https", "/48MiB/"+strings.ReplaceAll(name, " ", "-"))
	var once sync.Once
	var wg sync.WaitGroup
	d := h.fetch(r, url, func(n int64) {
		if n < some {
			return
		}
		once.Do(func() {
			wg.Go(func() {
				for _, l := range lenders {
					if h.tunnels(l) == 0 {
						h.t.Errorf("%s: nothing runs through %s", name, l.Name)
					}
				}
				do()
				h.within(5*time.Second, name+": tunnels end", func() bool {
					for _, l := range lenders {
						if h.tunnels(l) > 0 {
							return false
						}
					}
					return true
				})
				if h.download(r).State != "running" {
					h.t.Errorf("%s: the download ended before it could be seen", name)
				}
				must(h.t, r.WAN.A.Shape(mbps(30)))
			})
		})
	})
	wg.Wait()
	must(h.t, r.WAN.A.Shape(mbps(2)))
	h.t.Logf("%-40s %5.1f s, longest gap %4d ms, %v", name, d.Total.Seconds(), d.Longest.Milliseconds(), bySource(h.download(r)))
}

// A new secret puts the old members out at once, running transfers included; so
// does a block, one of them.
func TestNewSecret(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, mbps(2), mbps(2), mbps(2))
	h.group(hostel.Lend)
	code := strings.TrimSpace(h.dtpx(h.Rooms[0], "group", "code"))
	alice, bob, carol := h.Rooms[0], h.Rooms[1], h.Rooms[2]
	var other string
	t.Run("a lender leaves", func(t *testing.T) {
		h := h.sub(t)
		h.cut(alice, "a lender leaves", func() { h.dtpx(bob, "group", "leave") }, bob)
	})
	t.Run("a lender joins another group", func(t *testing.T) {
		h := h.sub(t)
		h.dtpx(bob, "group", "new", "-name", "other")
		other = strings.TrimSpace(h.dtpx(bob, "group", "code"))
		h.cut(alice, "a lender joins another group", func() { h.dtpx(carol, "group", "join", other) }, carol)
		h.all(findTime, "the others are together", 1, bob, carol)
		h.sees(alice, 0)
	})
	t.Run("the requester changes the secret", func(t *testing.T) {
		h := h.sub(t)
		h.dtpx(alice, "group", "join", other)
		h.together()
		h.cut(alice, "the requester changes the secret", func() { h.dtpx(alice, "group", "join", code) }, bob, carol)
		h.dtpx(alice, "group", "join", other)
		h.together()
	})
	t.Run("block a lender", func(t *testing.T) {
		h := h.sub(t)
		h.cut(alice, "the requester blocks a lender", func() { h.dtpx(alice, "group", "block", "bob") }, bob)
		if n := h.source(alice, "carol").Bytes; n == 0 {
			t.Error("nothing came through the other one")
		}
		if said := h.dtpx(alice, "peers"); !strings.Contains(said, "blocked") {
			t.Errorf("peers does not say it: %s", said)
		}
		must(t, alice.Stop())
		must(t, alice.Start())
		h.within(findTime, "blocked after a restart, too", func() bool { return h.here(alice) == 1 && strings.Contains(h.dtpx(alice, "peers"), "blocked") })
		h.dtpx(alice, "group", "block", "-undo", h.peers(bob).Self.Node.Short())
		h.all(3*findTime, "let in again, all are together", 2, h.Rooms...)
	})
	t.Run("block the requester", func(t *testing.T) {
		h := h.sub(t)
		key := h.peers(alice).Self.Node
		h.cut(alice, "lenders block the requester", func() {
			h.dtpx(bob, "group", "block", key.String())
			h.dtpx(carol, "group", "block", "alice")
		}, bob, carol)
		if !strings.Contains(bob.Log.String()+carol.Log.String(), "node is blocked") {
			t.Error("neither of them says whom it refuses")
		}
		for _, r := range []*hostel.Room{bob, carol} {
			h.dtpx(r, "group", "block", "-undo", "alice")
		}
		h.all(3*findTime, "let in again, all are together", 2, h.Rooms...)
		h.fetch(bob, h.URL("https", "/8MiB/again"), nil)
		if h.source(bob, "alice").Bytes == 0 {
			t.Error("nothing comes through who was blocked")
		}
	})
}
