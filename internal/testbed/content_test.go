package testbed

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestContentIsTheSameFromEveryOffset(t *testing.T) {
	for _, text := range []bool{false, true} {
		c := Content{Seed: 42, Size: 1000, Text: text}
		all := make([]byte, c.Size)
		c.Fill(all, 0)
		for off := range 100 {
			for _, n := range []int{0, 1, 7, 8, 9, 31, 32, 33, 64, 500} {
				p := make([]byte, n)
				c.Fill(p, int64(off))
				if !bytes.Equal(p, all[off:off+n]) {
					t.Fatalf("Fill(%d bytes, off %d) differs", n, off)
				}
			}
		}
		if err := iotest.TestReader(c.Reader(), all); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVerifySaysWhereBytesBelong(t *testing.T) {
	c := Content{Seed: 3, Size: 1 << 20}
	all := make([]byte, c.Size)
	c.Fill(all, 0)
	if err := c.Verify(bytes.NewReader(all)); err != nil {
		t.Fatal(err)
	}
	moved := bytes.Clone(all)
	copy(moved[5000:6000], all[70001:])
	for _, x := range []struct {
		name string
		r    io.Reader
		want string
	}{
		{"moved", bytes.NewReader(moved), "differs at byte 5000: found the bytes of 70001"},
		{"short", bytes.NewReader(all[:77]), "ends at byte 77"},
		{"long", io.MultiReader(bytes.NewReader(all), strings.NewReader("x")), "goes on 1 bytes"},
	} {
		if err := c.Verify(x.r); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", x.name, err, x.want)
		}
	}
}

func TestSHA256IsThatOfTheBytes(t *testing.T) {
	// Content must not change between versions, or digests written down elsewhere lie.
	const want = "a5a6086ff881cc66e3328c8fe619e6349fe55b6542a27994fec1eb34dd516d73"
	if got := (Content{Seed: 1, Size: 1 << 20}).SHA256(); got != want {
		t.Fatal(got)
	}
}

func BenchmarkFill(b *testing.B) {
	p := make([]byte, 64<<10)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		Content{Seed: 1}.Fill(p, 0)
	}
}
