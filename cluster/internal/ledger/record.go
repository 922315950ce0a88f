package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// The file is one JSON value per line. The first names format and version; each
// other adds to one account. Appending is one write, so a crash leaves a
// beginning of the last line, which is the one thing a reader forgives.
const (
	format  = "dtpx-ledger"
	version = 1
	// fileMax is far above what a compacted ledger and its appended lines need.
	fileMax = 32 << 20
	// keyMax holds a fingerprint in any spelling.
	keyMax = 128
	// sumMax keeps sums of hostile files from overflowing.
	sumMax = unlimited
)

type header struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
}

// record adds bytes to an account; negative ones were reserved and not used.
type record struct {
	Day      Day    `json:"day"`
	Key      string `json:"key"`
	Lent     int64  `json:"lent,omitempty"`
	Borrowed int64  `json:"borrowed,omitempty"`
}

func line(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // structs of strings and integers
	}
	return append(b, '\n')
}

// decode returns the books in b. On damage it returns what came before, too: an
// account that is forgotten would be spent twice.
func decode(b []byte) (*books, error) {
	bk := newBooks()
	if len(b) >= fileMax {
		return bk, fmt.Errorf("read ledger: over %d bytes", fileMax)
	}
	end := bytes.LastIndexByte(b, '\n') + 1
	first := true
	n := 0
	for l := range bytes.Lines(b[:end]) {
		n++
		var err error
		if first {
			err = checkHeader(l)
			first = false
		} else {
			err = bk.read(l)
		}
		if err != nil {
			return bk, fmt.Errorf("read ledger: line %d: %w", n, err)
		}
	}
	if first {
		return bk, errors.New("read ledger: no header")
	}
	return bk, nil
}

func checkHeader(l []byte) error {
	var h header
	if err := strict(l, &h); err != nil {
		return err
	}
	if h.Format != format || h.Version != version {
		return fmt.Errorf("format %q version %d is not mine", h.Format, h.Version)
	}
	return nil
}

func (b *books) read(l []byte) error {
	var r record
	if err := strict(l, &r); err != nil {
		return err
	}
	return b.add(r)
}

func strict(l []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(l))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// encode writes the books so that reading gives the same ones.
func (b *books) encode() []byte {
	out := line(header{format, version})
	for _, d := range slices.Sorted(keys(b.days)) {
		m := b.days[d].member
		for _, k := range slices.Sorted(keys(m)) {
			if v := m[k]; v != (Bytes{}) {
				out = append(out, line(record{d, k, v.Lent, v.Borrowed})...)
			}
		}
	}
	return out
}

func validDay(d Day) bool {
	if d == Older {
		return true
	}
	t, err := time.Parse(time.DateOnly, string(d))
	return err == nil && t.Format(time.DateOnly) == string(d)
}

func validKey(k string) bool {
	for i := range len(k) {
		if k[i] <= ' ' || k[i] >= 0x7f {
			return false
		}
	}
	return k != "" && len(k) <= keyMax
}
