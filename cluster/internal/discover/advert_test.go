package discover

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func addrs(texts ...string) (out []netip.Addr) {
	for _, t := range texts {
		out = append(out, netip.MustParseAddr(t))
	}
	return out
}

func TestAdvert(t *testing.T) {
	a := advert{"abc", 4711, addrs("192.168.1.5", "fd00::5", "fe80::5%eth0")}
	txt := a.encode()
	want := []string{"v=1", "tag=abc", "port=4711", "a=192.168.1.5", "a=fd00::5", "a=fe80::5"}
	if !slices.Equal(txt, want) {
		t.Errorf("got %q", txt)
	}
	a.addrs[2] = a.addrs[2].WithZone("")
	if got, ok := parseAdvert(txt); !ok || !reflect.DeepEqual(got, a) {
		t.Errorf("got %+v, %v", got, ok)
	}
	for range 100 {
		a.addrs = append(a.addrs, a.addrs[0])
	}
	if n := len(a.encode()); n != 3+addrsMax {
		t.Errorf("%d strings", n)
	}
}

func TestParseAdvert(t *testing.T) {
	many := []string{"v=1", "tag=x", "port=1"}
	for i := range 29 {
		many = append(many, fmt.Sprintf("a=10.0.0.%d", i))
	}
	for _, c := range []struct {
		name string
		txt  []string
		want int // addresses, -1: no advert
	}{
		{"nothing", nil, -1},
		{"least", []string{"v=1", "tag=x", "port=1", "a=10.0.0.1"}, 1},
		{"any order, unknown strings", []string{"", "a=10.0.0.1", "later", "=", "port=65535", "x=y", "tag=x", "v=1"}, 1},
		{"no version", []string{"tag=x", "port=1", "a=10.0.0.1"}, -1},
		{"another version", []string{"v=2", "tag=x", "port=1", "a=10.0.0.1"}, -1},
		{"no tag", []string{"v=1", "port=1", "a=10.0.0.1"}, -1},
		{"two tags", []string{"v=1", "tag=x", "tag=y", "port=1", "a=10.0.0.1"}, -1},
		{"long tag", []string{"v=1", "tag=" + strings.Repeat("x", 65), "port=1", "a=10.0.0.1"}, -1},
		{"no port", []string{"v=1", "tag=x", "a=10.0.0.1"}, -1},
		{"two ports", []string{"v=1", "tag=x", "port=1", "port=2", "a=10.0.0.1"}, -1},
		{"port 0", []string{"v=1", "tag=x", "port=0", "a=10.0.0.1"}, -1},
		{"port 65536", []string{"v=1", "tag=x", "port=65536", "a=10.0.0.1"}, -1},
		{"negative port", []string{"v=1", "tag=x", "port=-1", "a=10.0.0.1"}, -1},
		{"no address", []string{"v=1", "tag=x", "port=1"}, -1},
		{"garbage addresses", []string{"v=1", "tag=x", "port=1", "a=", "a=host", "a=10.0.0.1:80", "a=fe80::1%eth0", "a=10.0.0.1"}, 1},
		{"the same address", []string{"v=1", "tag=x", "port=1", "a=10.0.0.1", "a=::ffff:10.0.0.1", "a=10.0.0.1"}, 1},
		{"many addresses", many, addrsMax},
		{"too many strings", append(many, "a=10.0.0.99"), -1},
		{"too many bytes", []string{"v=1", "tag=x", "port=1", "a=10.0.0.1", strings.Repeat("x", txtBytes)}, -1},
	} {
		a, ok := parseAdvert(c.txt)
		if got := len(a.addrs); ok != (c.want >= 0) || ok && got != c.want {
			t.Errorf("%s: %+v, %v", c.name, a, ok)
		}
	}
}

func FuzzParseAdvert(f *testing.F) {
	f.Add("v=1\ntag=x\nport=4711\na=10.0.0.1\na=fd00::1")
	f.Add("v=1\ntag=\nport=+5\na=::ffff:1.2.3.4")
	f.Fuzz(func(t *testing.T, text string) {
		a, ok := parseAdvert(strings.Split(text, "\n"))
		if !ok {
			return
		}
		if again, ok := parseAdvert(a.encode()); !ok || !reflect.DeepEqual(a, again) {
			t.Fatalf("%+v became %+v", a, again)
		}
	})
}

func TestNames(t *testing.T) {
	a, b := newNames("2026-01-01"), newNames("2026-01-01")
	if a.instance == b.instance || a.host == b.host || strings.Contains(a.host, a.instance) || len(a.instance) != 16 {
		t.Errorf("%+v %+v", a, b)
	}
	if today(time.Date(2026, 1, 1, 23, 30, 0, 0, time.FixedZone("", -3600))) != "2026-01-02" {
		t.Error("days are not UTC's")
	}
}

func TestCandidateAddresses(t *testing.T) {
	l := link{prefixes: []netip.Prefix{
		netip.MustParsePrefix("141.2.3.4/16"), netip.MustParsePrefix("2001:db8::1/64"), netip.MustParsePrefix("1.2.3.4/1")}}
	l.ifc.Name = "eth7"
	for text, want := range map[string]string{
		"10.1.2.3": "10.1.2.3", "192.168.0.1": "192.168.0.1", "169.254.3.4": "169.254.3.4", "fd00::1": "fd00::1",
		"fe80::1": "fe80::1%eth7", "141.2.9.9": "141.2.9.9", "2001:db8::99": "2001:db8::99",
		"8.8.8.8": "", "2001:4860::1": "", "141.3.0.1": "", "127.0.0.1": "", "::1": "", "0.0.0.0": "", "::": "",
		"224.0.0.1": "", "ff02::1": "", "255.255.255.255": "", "100.64.0.1": "",
	} {
		got, ok := l.candidate(netip.MustParseAddr(text))
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%s: %v, %v", text, got, ok)
		}
	}
}

// A link hears of the addresses that the node has there, and of none on other LANs.
func TestTells(t *testing.T) {
	l := link{prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.2.1/24"), netip.MustParsePrefix("fe80::2/64")}}
	for _, c := range []struct{ all, want []netip.Addr }{
		{addrs("10.0.1.1", "10.0.2.1", "fe80::1%eth1", "fe80::2%eth2", "10.0.1.1"), addrs("10.0.2.1", "fe80::2")},
		{addrs("192.0.2.7"), addrs("192.0.2.7")}, // told by the configuration
	} {
		if got := l.tells(c.all); !slices.Equal(got, c.want) {
			t.Errorf("of %v: %v", c.all, got)
		}
	}
}

func TestCandidatesAreFair(t *testing.T) {
	c := newCandidates()
	evil, good := netip.MustParseAddr("10.0.0.66"), netip.MustParseAddr("10.0.0.7")
	for i := range 500 {
		c.add(netip.AddrPortFrom(evil.WithZone(""), uint16(i+1)), netip.MustParseAddr("10.0.0.99"))
	}
	c.add(netip.AddrPortFrom(good, 4711), good)
	list := c.list()
	if len(list) != namedMax+1 || list[0] != netip.AddrPortFrom(good, 4711) {
		t.Errorf("%d: %v", len(list), list)
	}
	for i := range 2000 {
		from := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		c.add(netip.AddrPortFrom(from, 1), from)
	}
	if n := len(c.list()); n != candidateMax || len(c.found) > foundMax {
		t.Errorf("%d candidates of %d", n, len(c.found))
	}
}

func TestHear(t *testing.T) {
	c := newCandidates()
	heard := 0
	for range 100 {
		if c.hear(netip.MustParseAddr("10.0.0.1")) {
			heard++
		}
	}
	for i := range 5000 {
		c.hear(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
	}
	if heard != perSender || len(c.heard) != sendersMax {
		t.Errorf("%d packets of one, %d senders", heard, len(c.heard))
	}
}

func TestBucket(t *testing.T) {
	b := bucket{most: 3, perSecond: 0.5}
	now := time.Now()
	took := func(after time.Duration) (n int) {
		now = now.Add(after)
		for b.take(now) {
			n++
		}
		return n
	}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 3}, {time.Second, 0}, {time.Second, 1}, {-time.Hour, 0}, {time.Hour, 3}} {
		if got := took(c.after); got != c.want {
			t.Errorf("after %v: %d, want %d", c.after, got, c.want)
		}
	}
}
