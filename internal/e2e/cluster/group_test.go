package cluster

import (
	"slices"
	"strings"
	"testing"

	"dtpx/internal/testbed"
)

// Three machines, fresh state, only what the README says.
func TestThreeMachines(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, mbps(4), mbps(4), mbps(4))
	h.serve("")
	for _, r := range h.Rooms {
		if bound := h.bound(r); !slices.Equal(bound, []string{"tcp 127.0.0.1:3128"}) {
			t.Errorf("without a group %s has bound %v", r.Name, bound)
		}
	}
	made := h.dtpx(h.Rooms[0], "group", "new", "-name", "hostel")
	code := strings.TrimSpace(h.dtpx(h.Rooms[0], "group", "code"))
	if !strings.Contains(made, "dtpx group join "+code) || !strings.Contains(made, "256.0 MiB a day") {
		t.Errorf("group new says: %s", made)
	}
	for _, r := range h.Rooms[1:] {
		if said := h.dtpx(r, "group", "join", code); !strings.Contains(said, "256.0 MiB a day") {
			t.Errorf("join does not say what is lent: %s", said)
		}
	}
	h.together()

	url := h.URL("https", "/48MiB/movie")
	d := h.fetch(h.Rooms[0], url, nil)
	got := bySource(h.download(h.Rooms[0]))
	if got["peer"] < 48*mib/2 {
		t.Errorf("peers brought %d of %d bytes", got["peer"], 48*mib)
	}
	t.Logf("%.1f s, longest gap %v, %v", d.Total.Seconds(), d.Longest, got)
	h.others(2, h.Rooms...)
	h.account(url, 48*mib)
	lent := h.peers(h.Rooms[1]).Self.Lent
	if lent < 48*mib/6 || lent > 48*mib/2 {
		t.Errorf("bob lent %d bytes", lent)
	}
	// The neighbours saw an address and numbers: no name, no path.
	for _, r := range h.Rooms[1:] {
		if said := r.Log.String(); strings.Contains(said, "movie") {
			t.Errorf("%s learnt what was fetched: %s", r.Name, said)
		}
	}
}
