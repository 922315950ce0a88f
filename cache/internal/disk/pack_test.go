package disk

import (
	"bytes"
	"strings"
	"testing"
)

func TestPacking(t *testing.T) {
	z, err := newZip()
	if err != nil {
		t.Fatal(err)
	}
	h := header{total: 1 << 30, block: BlockSize}
	random := content(1, BlockSize)
	half := append(bytes.Clone(random[:BlockSize/2]), content(2, BlockSize/2)...)
	for name, c := range map[string]struct {
		b    []byte
		pays bool
	}{
		"text":                         {content(2, BlockSize), true},
		"random":                       {random, false},
		"half of it text":              {half, true},
		"less than an eighth":          {append(bytes.Clone(random[:BlockSize*15/16]), content(2, BlockSize/16)...), false},
		"fits into a page anyway":      {content(2, 3000), false},
		"saves a page of two":          {content(2, 6000), true},
		"one letter":                   {bytes.Repeat([]byte("a"), BlockSize), true},
		"short":                        {[]byte("a"), false},
		"nothing":                      {nil, false},
		"a text that hides in the end": {[]byte(string(random[:9000]) + strings.Repeat("x", 900)), false},
	} {
		p := z.pack(h, new(streak), c.b, make([]byte, 0, BlockSize))
		if (p != nil) != c.pays {
			t.Errorf("%s: %d bytes of %d", name, len(p), len(c.b))
		}
		if p == nil {
			continue
		}
		out := make([]byte, len(c.b))
		if _, err := z.unpack(p, out); err != nil || !bytes.Equal(out, c.b) {
			t.Errorf("%s: unpack: %v", name, err)
		}
		for _, n := range []int{len(c.b) - 1, len(c.b) + 1} { // of another length
			if _, err := z.unpack(p, make([]byte, n)); err == nil {
				t.Errorf("%s: %d bytes unpacked to %d", name, len(c.b), n)
			}
		}
	}
}

// What did not pay is looked at less and less, and again when it does.
func TestPackingIsTriedLessWhereItDoesNotPay(t *testing.T) {
	z, err := newZip()
	if err != nil {
		t.Fatal(err)
	}
	h := header{total: 1 << 30, block: BlockSize}
	random, text := content(1, BlockSize), content(2, BlockSize)
	s, out, tried := new(streak), make([]byte, 0, BlockSize), 0
	for range 400 {
		if s.skip == 0 {
			tried++
		}
		z.pack(h, s, random, out)
	}
	if tried > 20 {
		t.Error("tried", tried)
	}
	packed := 0
	for range 2 * streakMax {
		if z.pack(h, s, text, out) != nil {
			packed++
		}
	}
	if packed < streakMax {
		t.Error("packed", packed)
	}
}
