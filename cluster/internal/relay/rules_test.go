package relay

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func ports() Rules { return Rules{Ports: []int{80, 443}} }

func TestCheckKnowsEveryKindOfAddress(t *testing.T) {
	own := ports()
	own.Own = func() []netip.Prefix {
		return []netip.Prefix{
			netip.MustParsePrefix("9.9.9.9/32"), netip.MustParsePrefix("80.1.2.77/24"),
			netip.MustParsePrefix("::ffff:81.1.0.0/112"), netip.MustParsePrefix("2a00:1:2:3::/64"),
		}
	}
	// target                                why ("" = lent)
	for row := range strings.Lines(`
		93.184.216.34:443                    -
		1.1.1.1:80                           -
		[2606:4700:4700::1111]:443           -
		1.1.1.1:22                           port
		1.1.1.1:0                            port
		127.0.0.1:80                         loopback
		127.255.255.254:80                   loopback
		0.0.0.0:80                           unspecified
		0.1.2.3:80                           unspecified
		10.0.0.1:80                          private
		172.16.0.1:80                        private
		172.31.255.255:80                    private
		172.32.0.1:80                        -
		192.168.1.1:80                       private
		100.64.0.1:80                        cgnat
		100.127.255.255:80                   cgnat
		100.128.0.1:80                       -
		169.254.1.1:80                       link-local
		169.254.169.254:80                   metadata
		169.254.170.2:80                     metadata
		100.100.100.200:80                   metadata
		192.0.0.192:80                       metadata
		168.63.129.16:80                     metadata
		[fd00:ec2::254]:80                   metadata
		[fd20:ce::254]:80                    metadata
		224.0.0.251:80                       multicast
		239.255.255.250:80                   multicast
		255.255.255.255:80                   broadcast
		240.0.0.1:80                         reserved
		192.0.0.1:80                         reserved
		192.88.99.1:80                       reserved
		192.0.2.1:80                         documentation
		198.51.100.1:80                      documentation
		203.0.113.1:80                       documentation
		198.18.0.1:80                        benchmark
		198.19.255.255:80                    benchmark
		[::]:80                              unspecified
		[::1]:80                             loopback
		[::127.0.0.1]:80                     compatible
		[::1.1.1.1]:80                       compatible
		[::ffff:127.0.0.1]:80                mapped
		[::ffff:1.1.1.1]:80                  mapped
		[::ffff:a9fe:a9fe]:80                mapped
		[::ffff:0:1.1.1.1]:80                reserved
		[64:ff9b::7f00:1]:80                 nat64
		[64:ff9b::101:101]:80                nat64
		[64:ff9b:1::10.0.0.1]:80             nat64-local
		[2002:7f00:1::1]:80                  6to4
		[2002:101:101::1]:80                 6to4
		[2001:0:101:101::1]:80               teredo
		[2001:2::1]:80                       benchmark
		[2001:10::1]:80                      reserved
		[2001:db8::1]:80                     documentation
		[3fff::1]:80                         documentation
		[100::1]:80                          reserved
		[5f00::1]:80                         reserved
		[fc00::1]:80                         private
		[fdff::1]:80                         private
		[fe80::1]:80                         link-local
		[fe80::1%eth0]:80                    zone
		[2606::1%eth0]:80                    zone
		[fec0::1]:80                         reserved
		[ff02::fb]:80                        multicast
		9.9.9.9:443                          own
		9.9.9.10:443                         -
		80.1.2.3:443                         own
		81.1.200.3:443                       own
		[2a00:1:2:3::9]:443                  own
		[2a00:1:2:4::9]:443                  -
	`) {
		f := strings.Fields(row)
		if len(f) == 0 {
			continue
		}
		if got := why(own.Check(netip.MustParseAddrPort(f[0]))); got != f[1] {
			t.Errorf("%s: %s, want %s", f[0], got, f[1])
		}
	}
	if why(own.Check(netip.AddrPortFrom(netip.Addr{}, 80))) != "invalid" {
		t.Error("no address passed")
	}
}

func why(err error) string {
	var f *Forbidden
	if errors.As(err, &f) {
		return f.Why
	}
	return "-"
}

func TestAllowOpensAddressesAndNoPorts(t *testing.T) {
	for row := range strings.Lines(`
		10.0.0.0/8        10.1.2.3:443               -
		10.0.0.0/8        10.1.2.3:22                port
		10.0.0.0/8        11.1.2.3:443               -
		10.0.0.0/8        192.168.0.1:443            private
		10.0.0.0/8        [::ffff:10.1.2.3]:443      mapped
		127.0.0.0/8       127.0.0.1:80               -
		9.9.9.0/24        9.9.9.9:80                 -
		0.0.0.0/0         [::1]:80                   loopback
		::/0              [::1]:80                   -
		::/0              [::ffff:1.1.1.1]:80        mapped
		::/0              [::127.0.0.1]:80           loopback
		64:ff9b::/96      [64:ff9b::101:101]:80      -
		64:ff9b::/96      [64:ff9b::7f00:1]:80       loopback
		64:ff9b::/96      [64:ff9b::a9fe:a9fe]:80    metadata
		64:ff9b::/96      [64:ff9b::909:909]:80      own
		64:ff9b:1::/48    [64:ff9b:1:101:1:100::]:80 -
		64:ff9b:1::/48    [64:ff9b:1:7f00:0:100::]:80 loopback
		64:ff9b:1::/56    [64:ff9b:1:7f:0:1::]:80    loopback
		64:ff9b:1::/64    [64:ff9b:1:0:7f:0:100::]:80 loopback
		64:ff9b:1::/96    [64:ff9b:1::7f00:1]:80     loopback
		2002::/16         [2002:101:101::1]:80       -
		2002::/16         [2002:a00:1::1]:80         private
		2001::/32         [2001:0:101:101:0:0:fefe:fefe]:80 -
		2001::/32         [2001:0:101:101:0:0:f5ff:fffe]:80 private
		2001::/32         [2001:0:7f00:1:0:0:fefe:fefe]:80 loopback
	`) {
		f := strings.Fields(row)
		if len(f) == 0 {
			continue
		}
		r := ports()
		r.Own = func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("9.9.9.9/32")} }
		r.Allow = []netip.Prefix{netip.MustParsePrefix(f[0])}
		if got := why(r.Check(netip.MustParseAddrPort(f[1]))); got != f[2] {
			t.Errorf("allow %s: %s: %s, want %s", f[0], f[1], got, f[2])
		}
	}
}

// What passes is public by net/netip's opinion too, whatever the bits.
func FuzzCheck(f *testing.F) {
	f.Add(make([]byte, 16))
	f.Add([]byte{127, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok || ports().Check(netip.AddrPortFrom(a, 80)) != nil {
			return
		}
		if !a.IsGlobalUnicast() || a.IsPrivate() || a.Is4In6() || a.IsLinkLocalUnicast() {
			t.Errorf("%s passed", a)
		}
	})
}
