package cluster

import (
	"net/netip"
	"testing"
	"time"

	"dtpx/cluster/internal/gossip"
)

// TestIsNews: members are told of what matters, and not too often.
func TestIsNews(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	for _, c := range []struct {
		name     string
		was, now gossip.Meta
		after    time.Duration // not before it, and then
	}{
		{"much less is left", gossip.Meta{Quota: gib, Left: 500 * mib}, gossip.Meta{Quota: gib, Left: 400 * mib}, tellEvery},
		{"a little less", gossip.Meta{Quota: gib, Left: 500 * mib}, gossip.Meta{Quota: gib, Left: 499 * mib}, tellLate},
		{"a sixteenth of a small quota", gossip.Meta{Quota: 80 * mib, Left: 50 * mib}, gossip.Meta{Quota: 80 * mib, Left: 44 * mib}, tellEvery},
		{"a little less near the end", gossip.Meta{Quota: gib, Left: 3 * mib}, gossip.Meta{Quota: gib, Left: 2 * mib}, tellEvery},
		{"a little came back near the end", gossip.Meta{Quota: gib, Left: 2 * mib}, gossip.Meta{Quota: gib, Left: 3 * mib}, tellEvery},
		{"the end", gossip.Meta{Quota: gib, Left: mib}, gossip.Meta{Quota: gib}, tellEvery},
		{"a new day", gossip.Meta{Quota: gib}, gossip.Meta{Quota: gib, Left: mib}, tellEvery},
		{"another name", gossip.Meta{Name: "a", Left: -1}, gossip.Meta{Name: "b", Left: -1}, tellEvery},
		{"another summary", gossip.Meta{Digest: 1, Left: -1}, gossip.Meta{Digest: 2, Left: -1}, tellEvery},
		{"another LAN", gossip.Meta{Left: -1}, gossip.Meta{Left: -1, Also: [3]netip.Addr{netip.MustParseAddr("10.0.0.1")}}, tellEvery},
		{"nothing", gossip.Meta{Quota: gib, Left: mib}, gossip.Meta{Quota: gib, Left: mib}, -1},
		{"nothing, without a quota", gossip.Meta{Left: -1}, gossip.Meta{Left: -1}, -1},
	} {
		if c.after < 0 {
			if isNews(c.was, c.now, time.Hour) {
				t.Errorf("%s: told", c.name)
			}
			continue
		}
		if isNews(c.was, c.now, c.after) {
			t.Errorf("%s: told after %v", c.name, c.after)
		}
		if !isNews(c.was, c.now, c.after+1) {
			t.Errorf("%s: not told after more than %v", c.name, c.after)
		}
	}
}
