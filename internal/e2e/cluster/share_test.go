package cluster

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dtpx/cache"
	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
)

// In a trusted group what one has downloaded the others get over the LAN: the
// origin only says that it is current. When the neighbour goes in the middle, the
// origin brings the rest.
func TestShared(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, mbps(40), mbps(8), mbps(8))
	h.serve(hostel.Lend)
	h.dtpx(h.Rooms[0], "group", "new", "-trusted")
	code := strings.TrimSpace(h.dtpx(h.Rooms[0], "group", "code"))
	for _, r := range h.Rooms[1:] {
		h.dtpx(r, "group", "join", code)
	}
	h.together()
	alice, bob, carol := h.Rooms[0], h.Rooms[1], h.Rooms[2]
	url, long := h.URL("https", "/24MiB/shared"), h.URL("https", "/48MiB/broken")
	h.fetch(alice, url, nil)
	h.fetch(alice, long, nil)
	for _, r := range []*hostel.Room{bob, carol} {
		h.within(loseTime, r.Name+" knows what alice has", func() bool {
			has := h.cached(alice).Summary
			return has != "0" && slices.Contains(slices.Collect(maps.Values(h.cached(r).Neighbours)), has)
		})
	}
	before := len(h.Origin.Log().For("/shared"))
	d := h.fetch(bob, url, nil)
	if cost := h.Origin.Log().Since("/shared", before).Total; cost > 0 {
		t.Errorf("the origin sent %d bytes of what alice has", cost)
	}
	if got := h.cached(bob).Borrowed; got != 24*mib {
		t.Errorf("bob had %d bytes from the LAN", got)
	}
	t.Logf("24 MiB from a neighbour: %v, first byte %v", d.Total, d.First)

	// Alice dies while carol gets it from her: carol's client notices nothing.
	must(t, carol.Switch.Shape(mbps(8))) // the LAN, or it would be over at once
	var once sync.Once
	d = h.fetch(carol, long, func(n int64) {
		if n > 8*mib {
			once.Do(alice.Kill)
		}
	})
	if d.Longest > 5*time.Second {
		t.Errorf("nothing came for %v", d.Longest)
	}
}

// In a group that is no trusted one members take from each other what the origin
// vouches for, and nothing else.
func TestSharedByDigest(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, mbps(40), mbps(40))
	h.group(hostel.Lend)
	alice, bob := h.Rooms[0], h.Rooms[1]
	own := h.URL("https", "/8MiB/own")
	sum := testbed.Content{Seed: 7, Size: 24 * mib}.SHA256()
	blob := h.URL("https", "/24MiB/seed=7/dists/s/main/by-hash/SHA256/"+sum)
	cost := func(url, part string) int64 {
		had := h.cached(alice).Summary
		h.fetch(alice, url, nil)
		alices := len(h.Origin.Log().For(part))
		h.within(loseTime, "bob knows that alice has "+part, func() bool {
			has := h.cached(alice).Summary // of before is made anew after 5 s
			return has != had && has != "0" && slices.Contains(slices.Collect(maps.Values(h.cached(bob).Neighbours)), has)
		})
		h.fetch(bob, url, nil)
		return h.Origin.Log().Since(part, alices).Total
	}
	if n := cost(blob, "/by-hash/"); n > 0 {
		t.Errorf("the origin sent %d bytes of what alice has", n)
	}
	if n := cost(own, "/own"); n < 8*mib {
		t.Errorf("bob had only %d bytes from the origin of what it does not vouch for", n)
	}
	if s := h.cached(bob); s.Borrowed != 24*mib || s.Wrong > 0 {
		t.Errorf("%+v", s)
	}
}

// Plain http goes over members of any group where the origin vouches for the body,
// and otherwise over nobody.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, mbps(8), mbps(8))
	h.group(hostel.Lend)
	alice, bob := h.Rooms[0], h.Rooms[1]
	h.within(loseTime, "alice hears that bob shares", func() bool { // or nobody notes digests
		h.fetch(bob, h.URL("https", "/1MiB/something"), nil)
		return len(h.cached(alice).Neighbours) > 0
	})
	for _, c := range []struct {
		path    string
		carried bool
	}{
		{"/32MiB/seed=7/dists/s/main/by-hash/SHA256/" + testbed.Content{Seed: 7, Size: 32 * mib}.SHA256(), true},
		{"/32MiB/plain", false},
	} {
		h.fetch(alice, h.URL("http", c.path), nil)
		if n := h.source(alice, bob.Name).Bytes; (n > 4*mib) != c.carried {
			t.Errorf("%s: bob has carried %d bytes", c.path, n)
		}
	}
}

func (h *house) cached(r *hostel.Room) (s cache.Stats) {
	h.t.Helper()
	must(h.t, r.Get("/api/v1/cache", &s))
	return s
}
