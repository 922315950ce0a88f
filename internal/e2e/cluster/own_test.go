package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
)

// curl fetches a file of the origin through the room's proxy.
func (h *house) curl(r *hostel.Room, url string, more ...string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	out := filepath.Join(r.Home, "curl.out")
	_, err := r.Run(ctx, "curl", append([]string{"-sS", "-f", "-x", "http://127.0.0.1:3128", "--cacert", h.CA, "-o", out, url}, more...)...)
	must(h.t, err)
	b, err := os.ReadFile(out)
	must(h.t, err)
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != h.Content(url).SHA256() {
		h.t.Errorf("wrong bytes in %s", r.Name)
	}
}

// carried is what a room's link has brought so far.
func (h *house) carried(r *hostel.Room) int64 {
	h.t.Helper()
	n, err := r.WAN.A.Carried()
	must(h.t, err)
	return n
}

// A lender's own traffic goes first, by whatever way: a download that is split, one
// through a tunnel that dtpx does not look into, a file too small to be split. One that
// needs little does not stop the lending.
func TestOwnTrafficGoesFirst(t *testing.T) {
	t.Parallel()
	const rate = 4
	h := newHouse(t, testbed.Config{}, mbps(rate), mbps(rate))
	alice, bob := h.Rooms[0], h.Rooms[1]
	must(t, alice.Serve(hostel.Lend+"cache: {enabled: false}\n"))
	// Small files of http are passed as they are; https is tunnelled.
	must(t, bob.Serve(hostel.Lend+"intercept: {never: ['*']}\naccelerate: {min_size: 40MiB}\ncache: {enabled: false}\n"))
	h.dtpx(bob, "group", "join", h.code())
	h.together()

	ctx, stop := context.WithCancel(t.Context())
	borrows := make(chan struct{})
	go func() {
		defer close(borrows)
		alice.Fetch(ctx, h.URL("https", "/2048MiB/borrowed"), nil) // until it is stopped
	}()
	defer func() { stop(); <-borrows }()

	lends := func() {
		h.t.Helper()
		was := h.carried(bob)
		eventually(t, "bob lends", func() bool {
			now := h.carried(bob)
			defer func() { was = now }()
			return now-was > 64<<10
		})
		eventually(t, "bob has lent for a while", func() bool { return h.carried(bob)-was > 3*rate*1e6 })
	}
	// Of a line that is left to its connections, tunnels take more than three times as
	// much as one of the owner's, and half of a split download. What comes in the first
	// second or two is on its way, or finds room in the kernel, when lending stops.
	for _, c := range []struct {
		name, scheme, file string
		most               float64 // of the file may be lent meanwhile
	}{
		{"through a tunnel", "https", "/32MiB/tunnel", 0.5},
		{"as it is", "http", "/32MiB/plain", 0.5},
		{"split", "http", "/48MiB/split", 0.4},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := h.sub(t)
			lends()
			url := h.URL(c.scheme, c.file)
			size, was, began := h.Content(url).Size, h.carried(bob), time.Now()
			h.curl(bob, url)
			took, lent := time.Since(began).Seconds(), h.carried(bob)-was-size
			t.Logf("%.2f s, alone %.2f; %.1f MB lent meanwhile", took, float64(size)/rate/1e6, float64(lent)/1e6)
			if float64(lent) > c.most*float64(size) {
				t.Errorf("beside the owner's download, %d bytes were lent", lent)
			}
		})
	}
	t.Run("a trickle", func(t *testing.T) {
		h := h.sub(t)
		lends()
		url := h.URL("https", "/2MiB/trickle")
		was, began := h.carried(bob), time.Now()
		h.curl(bob, url, "--limit-rate", "150k")
		took := time.Since(began).Seconds()
		all := float64(h.carried(bob)-was) / took
		t.Logf("%.1f s, the line carried %.2f of %d MB/s", took, all/1e6, rate)
		if all < 0.75*rate*1e6 {
			t.Errorf("the line carried %.2f of %d MB/s beside a trickle", all/1e6, rate)
		}
	})
}
