package gossip

import (
	"math"
	"net/netip"
	"strings"
	"testing"
)

func TestMeta(t *testing.T) {
	for _, m := range []Meta{
		{},
		{Name: "küche", Lends: true, Rate: 1, Quota: 1 << 40, Left: -1, Digest: math.MaxUint64},
		{Left: math.MinInt64, Rate: math.MaxInt64},
		{Also: [3]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}},
	} {
		got, err := parseMeta(m.encode())
		if err != nil || got != m {
			t.Errorf("%+v became %+v, %v", m, got, err)
		}
	}
	long := Meta{Name: strings.Repeat("ü", 100) + "\xff", Rate: math.MaxInt64, Quota: math.MinInt64, Left: math.MaxInt64, Digest: math.MaxUint64}
	b := long.encode()
	got, err := parseMeta(b)
	if err != nil || got.Name != strings.Repeat("ü", 32) || len(b) > 128 {
		t.Errorf("%d bytes, %q, %v", len(b), got.Name, err)
	}
}

func TestMetaOfLaterVersions(t *testing.T) {
	b := field(Meta{Name: "a", Left: 7}.encode(), 200, []byte("what this version does not know"))
	for i := range byte(5) { // more than this one keeps
		b = field(b, keyAlso, []byte{10, 0, 0, i})
	}
	if m, err := parseMeta(b); err != nil || m.Name != "a" || m.Left != 7 || m.Also[2].String() != "10.0.0.2" {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestMalformedMeta(t *testing.T) {
	for _, b := range []string{"", "\x00", "\x02", "\x01\x01", "\x01\x01\x02a", "\x01\x03\x00", "\x01\x03\x02\x01\x01",
		"\x01\x02\x01\x05\x02\x00", "\x01\x01\x01\xff", "\x01\x07\x03\x01\x01\x01", "\x01\x01\x41" + strings.Repeat("a", 65), "\x01" + strings.Repeat("\xc8\x00", 256)} {
		if m, err := parseMeta([]byte(b)); err == nil {
			t.Errorf("%q gives %+v", b, m)
		}
	}
}

func FuzzMeta(f *testing.F) {
	f.Add(Meta{Name: "laptop", Lends: true, Rate: 5, Quota: 6, Left: -1, Digest: 8}.encode())
	f.Add([]byte{1, keyAlso, 4, 10, 0, 0, 1, keyAlso, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1})
	f.Add([]byte{1, 200, 3, 1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMeta(b)
		if err != nil {
			if m != (Meta{}) {
				t.Fatalf("an error and %+v", m)
			}
			return
		}
		again, err := parseMeta(m.encode())
		if err != nil || again != m {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}
