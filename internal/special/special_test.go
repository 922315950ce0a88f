package special

import (
	"net/netip"
	"testing"
)

func TestClass(t *testing.T) {
	for a, want := range map[string]string{
		"45.1.0.1": "", "2001:470::1": "", "127.0.0.1": "loopback", "10.1.2.3": "private", "192.168.1.1": "private",
		"100.64.0.1": "cgnat", "169.254.169.254": "metadata", "168.63.129.16": "metadata", "169.254.1.1": "link-local", "0.1.2.3": "unspecified",
		"224.0.0.1": "multicast", "255.255.255.255": "broadcast", "192.0.2.1": "documentation", "198.18.0.1": "benchmark",
		"::1": "loopback", "fe80::1": "link-local", "fd00::1": "private", "ff02::1": "multicast", "64:ff9b::a00:1": "nat64",
		"2002:a00:1::": "6to4", "2001::1": "teredo", "2001:db8::1": "documentation", "4000::1": "reserved",
		"fe80::1%eth0": "none", "::ffff:8.8.8.8": "none",
	} {
		if got := Class(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %q, want %q", a, got, want)
		}
	}
	if Class(netip.Addr{}) == "" {
		t.Error("the zero address is public")
	}
}
