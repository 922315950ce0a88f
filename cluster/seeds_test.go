package cluster

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Of the members that were known, only those are looked for that can be on a LAN of this
// machine: it may be elsewhere now.
func TestSeedsOfAnotherPlace(t *testing.T) {
	t.Parallel()
	r := newRig(t, slow)
	n := r.join(func(o *Options) { o.Join = []string{"[::1]:1"} })
	must(t, os.WriteFile(filepath.Join(n.dir, peersFile), []byte(`["192.168.1.5:3129", "127.0.0.1:9", "10.0.0.3:3129"]`), 0o600))
	s := n.current()
	s.mu.Lock()
	s.heard = []netip.AddrPort{netip.MustParseAddrPort("192.168.1.6:3129")}
	s.mu.Unlock()
	got := s.seeds()
	if want := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9"), netip.MustParseAddrPort("[::1]:1")}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
