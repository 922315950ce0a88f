package gossip

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// What is sent to a node on several LANs goes to its address on one of ours.
func TestWays(t *testing.T) {
	ap, a := netip.MustParseAddrPort, netip.MustParseAddr
	lan := netip.MustParsePrefix("10.2.0.0/16")
	for _, c := range []struct {
		what, addr string
		also       []string
		proven     string
		want       []string
	}{
		{"one address", "10.1.0.1:7", nil, "", []string{"10.1.0.1:7"}},
		{"the other one is near", "10.1.0.1:7", []string{"10.2.0.1"}, "", []string{"10.2.0.1:7", "10.1.0.1:7"}},
		{"so is the first", "10.2.0.2:7", []string{"10.2.0.1"}, "", []string{"10.2.0.2:7", "10.2.0.1:7"}},
		{"and the other one has answered", "10.2.0.2:7", []string{"10.2.0.1"}, "10.2.0.1", []string{"10.2.0.1:7", "10.2.0.2:7"}},
		{"none is near, one has answered", "10.1.0.1:7", []string{"10.3.0.1", "10.4.0.1"}, "10.4.0.1", []string{"10.4.0.1:7", "10.1.0.1:7"}},
		{"near goes before answered", "10.1.0.1:7", []string{"10.2.0.1"}, "10.1.0.1", []string{"10.2.0.1:7", "10.1.0.1:7"}},
		{"nobody can know", "10.1.0.1:7", []string{"172.17.0.1"}, "", []string{"10.1.0.1:7"}},
		{"not to be sent to", "10.1.0.1:7", []string{"127.0.0.1", "224.0.0.1"}, "127.0.0.1", []string{"10.1.0.1:7"}},
	} {
		b := &book{contacts: newContacts(), near: lan.Contains, entries: map[string]*entry{}}
		e := entry{name: "x", id: ident(1), addr: ap(c.addr)}
		for i, text := range c.also {
			e.meta.Also[i] = a(text)
		}
		if c.proven != "" {
			b.contacts.prove(e.id, netip.AddrPortFrom(a(c.proven), 0), time.Now())
		}
		b.entries["x"] = &e
		var want []netip.AddrPort
		for _, text := range c.want {
			want = append(want, ap(text))
		}
		if got := b.ways(e); !slices.Equal(got, want) {
			t.Errorf("%s: %v", c.what, got)
		}
		if got := b.route("x", e.addr); got != want[0] {
			t.Errorf("%s: sent to %v", c.what, got)
		}
		if to := ap("10.9.0.9:9"); b.route("x", to) != to || b.route("y", e.addr) != e.addr {
			t.Errorf("%s: what was not meant for it is led astray", c.what)
		}
	}
}
