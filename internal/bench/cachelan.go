package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dtpx/cache"
	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
)

// cacheLAN: what one member has, the second one gets over a LAN of 1 Gbit/s, where the
// URL has the digest and where they trust each other; its own line has 4 MB/s.
func (b *bench) cacheLAN() ([]row, error) {
	const size = 1024
	h, err := b.house(testbed.Config{}, unlimited, 60, 4)
	if err != nil {
		return nil, err
	}
	defer h.close()
	alice, bob := h.Rooms[0], h.Rooms[1]
	for _, p := range []struct{ shape func(int64) error }{{alice.LAN.Shape}, {bob.Switch.Shape}} {
		if err := p.shape(1e9); err != nil {
			return nil, err
		}
	}
	sum := testbed.Content{Seed: 7, Size: size * mib}.SHA256()
	rows, err := h.second("digest in the URL", size, fmt.Sprintf("/%dMiB/seed=7/dists/s/main/by-hash/SHA256/%s", size, sum))
	if err != nil {
		return nil, err
	}
	if err := h.trusted(); err != nil {
		return rows, err
	}
	more, err := h.second("trusted group", size, fmt.Sprintf("/%dMiB/lan", size))
	return append(rows, more...), err
}

// second downloads in one room and then in the other.
func (h *house) second(how string, size int64, path string) ([]row, error) {
	alice, bob := h.Rooms[0], h.Rooms[1]
	url := h.URL("https", path)
	if d := alice.Fetch(context.Background(), url, nil); d.Err != nil {
		return nil, d.Err
	}
	if err := h.heard(alice, bob); err != nil {
		return nil, err
	}
	before := h.Origin.Log().Stats(path).Total
	d := bob.Fetch(context.Background(), url, nil)
	if d.Err != nil {
		return nil, d.Err
	}
	if d.SHA256 != h.Content(url).SHA256() {
		return nil, errors.New("wrong bytes")
	}
	name := fmt.Sprintf("second user on the LAN, %s, %d MiB", how, size)
	return []row{
		{name, "MB/s", float64(size*mib) / 1e6 / d.Total.Seconds(), 90, false, fmt.Sprintf("%.1f s, first byte %.0f ms", d.Total.Seconds(), d.First.Seconds()*1e3)},
		{name, "body bytes from the origin", float64(h.Origin.Log().Stats(path).Total - before), 0, true, ""},
	}, nil
}

// trusted puts all rooms into a trusted group instead of their own one.
func (h *house) trusted() error {
	ctx := context.Background()
	for i, r := range h.Rooms {
		if _, err := r.Dtpx(ctx, "group", "leave"); err != nil {
			return err
		}
		if i == 0 {
			if _, err := r.Dtpx(ctx, "group", "new", "-trusted"); err != nil {
				return err
			}
			continue
		}
		code, err := h.Rooms[0].Dtpx(ctx, "group", "code")
		if err != nil {
			return err
		}
		if _, err := r.Dtpx(ctx, "group", "join", strings.TrimSpace(code)); err != nil {
			return err
		}
	}
	return h.together()
}

// heard waits until to knows what from has cached.
func (h *house) heard(from, to *hostel.Room) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		var a, b cache.Stats
		if err := errors.Join(from.Get("/api/v1/cache", &a), to.Get("/api/v1/cache", &b)); err != nil {
			return err
		}
		var known []string
		for _, v := range b.Neighbours {
			known = append(known, v)
		}
		if a.Summary != "0" && slices.Contains(known, a.Summary) {
			return nil
		}
	}
	return errors.New("the second machine does not hear what the first one has")
}
