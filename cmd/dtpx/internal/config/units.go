package config

import (
	"fmt"
	"math/big"
	"strings"
)

// Size is bytes, written 8MiB.
type Size int64

// Rate is bytes per second, written 4MiB/s or 20Mbit/s. 0 is unlimited.
type Rate int64

// Quota is bytes per day, written 256MiB/day. 0 is unlimited.
type Quota int64

const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

type unit struct {
	name string
	n    int64
}

var (
	byteUnits = []unit{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
		{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}}
	bitUnits = []unit{{"kbit", 1e3 / 8}, {"Mbit", 1e6 / 8}, {"Gbit", 1e9 / 8}}
)

// ParseSize reads 8MiB, 1.5GiB, 10GB, 4096B and 0.
func ParseSize(s string) (Size, error) {
	n, err := amount(s, byteUnits)
	if err != nil {
		return 0, fmt.Errorf("%q is no size: %w, like 8MiB or 1GiB", s, err)
	}
	return Size(n), nil
}

// ParseRate reads 4MiB/s, 20Mbit/s and 0.
func ParseRate(s string) (Rate, error) {
	n, err := per(s, "/s", append(bitUnits, byteUnits...))
	if err != nil {
		return 0, fmt.Errorf("%q is no rate: %w, like 4MiB/s or 20Mbit/s", s, err)
	}
	return Rate(n), nil
}

// ParseQuota reads 256MiB/day and 0.
func ParseQuota(s string) (Quota, error) {
	n, err := per(s, "/day", byteUnits)
	if err != nil {
		return 0, fmt.Errorf("%q is no quota: %w, like 256MiB/day", s, err)
	}
	return Quota(n), nil
}

func per(s, suffix string, units []unit) (int64, error) {
	if s == "0" {
		return 0, nil
	}
	rest, ok := strings.CutSuffix(s, suffix)
	if !ok {
		return 0, fmt.Errorf("write a number, a unit and %s", suffix)
	}
	return amount(rest, units)
}

// limit keeps sums and products of a few amounts within an int64.
const limit = 1 << 56

// amount reads a decimal number and a unit exactly; less than a byte is cut off.
func amount(s string, units []unit) (int64, error) {
	if s == "0" {
		return 0, nil
	}
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		if !decimal(digits) {
			break
		}
		x, _ := new(big.Rat).SetString(digits)
		x.Mul(x, new(big.Rat).SetInt64(u.n))
		n := new(big.Int).Quo(x.Num(), x.Denom())
		if !n.IsInt64() || n.Int64() > limit {
			return 0, fmt.Errorf("too large: write something sensible")
		}
		return n.Int64(), nil
	}
	return 0, fmt.Errorf("write a number and a unit")
}

// decimal keeps signs, exponents and fractions, which big.Rat knows too, out.
func decimal(s string) bool {
	whole, part, dot := strings.Cut(s, ".")
	return len(s) <= 24 && digits(whole) && (!dot || digits(part))
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func (s Size) String() string { return format(int64(s)) }

func (r Rate) String() string {
	if r == 0 {
		return "0"
	}
	return format(int64(r)) + "/s"
}

func (q Quota) String() string {
	if q == 0 {
		return "0"
	}
	return format(int64(q)) + "/day"
}

// format is exact: the largest binary unit that divides n.
func format(n int64) string {
	if n == 0 {
		return "0"
	}
	for i := 3; i >= 0; i-- {
		if u := byteUnits[i]; n%u.n == 0 {
			return fmt.Sprintf("%d%s", n/u.n, u.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}
