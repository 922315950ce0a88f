package group

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// A join code is groups of five characters of Crockford's base 32 (no I, L, O,
// U; read as 1, 1, 0 and refused), such as
//
//	0MG3E-KNBSY …
//
// Case, blanks, dashes and what else chat programs put around and into a text do
// not matter. In each group four characters carry
// 20 bits and the fifth checks them together with the group's place, so that a
// wrong, swapped or missing character is told by the group it is in. The bits:
//
//	2  version, 0
//	1  trusted
//	5  length of the name in bytes - 1
//	…  the name, UTF-8
//	128  the secret
//	16  SHA-256("dtpx join code 0\0" + all bytes so far), its first two bytes
//	…  zeros up to the end of the group
const (
	alphabet   = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	dataChars  = 4
	groupChars = dataChars + 1
	sumSize    = 2
	maxInput   = 1024 // the longest code has 110 characters; the rest may be blanks
)

var values = func() (v [128]int8) {
	for i := range v {
		v[i] = -1
	}
	for i, c := range alphabet {
		v[c], v[unicode.ToLower(c)] = int8(i), int8(i)
	}
	for c, as := range map[rune]rune{'I': '1', 'i': '1', 'L': '1', 'l': '1', 'O': '0', 'o': '0'} {
		v[c] = v[as]
	}
	return v
}()

// Code is the group as a text that a person can read out and type. It holds
// the secret.
func (g Group) Code() (string, error) {
	if err := g.check(); err != nil {
		return "", err
	}
	b := []byte{byte(len(g.Name) - 1)}
	if g.Trusted {
		b[0] |= 1 << 5
	}
	b = append(append(b, g.Name...), g.Secret.b()...)
	b = append(b, codeSum(b)...)
	var groups []string
	for data := range slices.Chunk(symbols(b), dataChars) {
		groups = append(groups, spell(append(data, checkSymbol(len(groups), data))))
	}
	return strings.Join(groups, "-"), nil
}

// ParseCode reads a join code. Its errors say where the mistake is, and show
// nothing of the secret.
func ParseCode(text string) (Group, error) {
	syms, err := readSymbols(text)
	if err != nil {
		return Group{}, err
	}
	data, err := checkGroups(syms)
	if err != nil {
		return Group{}, err
	}
	b := make([]byte, len(data)*5/8)
	for i, s := range data {
		for bit := range 5 {
			if at := i*5 + bit; s>>(4-bit)&1 == 1 && at/8 < len(b) {
				b[at/8] |= 0x80 >> (at % 8)
			}
		}
	}
	g, err := readCode(b)
	if err != nil {
		return Group{}, err
	}
	// Bits behind the checksum: one group has one code.
	if canonical, _ := g.Code(); strings.ReplaceAll(canonical, "-", "") != spell(syms) {
		return Group{}, errors.New("join code: its last group is mistyped")
	}
	return g, nil
}

func spell(syms []byte) string {
	out := make([]byte, len(syms))
	for i, s := range syms {
		out[i] = alphabet[s]
	}
	return string(out)
}

// readSymbols drops what does not matter.
func readSymbols(text string) (syms []byte, err error) {
	if len(text) > maxInput {
		return nil, fmt.Errorf("join code: %d characters are too many", len(text))
	}
	for _, r := range text {
		switch {
		case unicode.IsSpace(r) || unicode.In(r, unicode.P, unicode.Sm, unicode.Sk, unicode.Cf): // chats turn - into –, add `, “, * and U+200B
		case r < 128 && values[r] >= 0:
			syms = append(syms, byte(values[r]))
		default:
			return nil, fmt.Errorf("join code: %q after %d characters does not occur in codes", r, len(syms))
		}
	}
	if len(syms) == 0 {
		return nil, errors.New("join code is empty; dtpx group code on a member shows it")
	}
	return syms, nil
}

// checkGroups verifies and removes the check symbols. The beginning says how
// long the code is; if that part is right, too few characters are an end that
// is missing.
func checkGroups(syms []byte) (data []byte, err error) {
	for i := 0; (i+1)*groupChars <= len(syms); i++ {
		group := syms[i*groupChars:][:groupChars]
		if checkSymbol(i, group[:dataChars]) != group[dataChars] {
			return nil, fmt.Errorf("join code: group %d of five characters is mistyped, or a character before it is missing", i+1)
		}
		data = append(data, group[:dataChars]...)
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("join code: %d characters are not even its first group of five", len(syms))
	}
	if version := data[0] >> 3; version != 0 {
		return nil, errors.New("join code is of a newer version: update dtpx")
	}
	nameLen := int(data[0]&3)<<3 | int(data[1])>>2 + 1
	bits := 8 * (1 + nameLen + secretSize + sumSize)
	want := (bits + 5*dataChars - 1) / (5 * dataChars) * groupChars
	switch {
	case len(syms) < want:
		return nil, fmt.Errorf("join code: %d of %d characters: the end is missing; dtpx group code on a member shows it", len(syms), want)
	case len(syms) > want:
		return nil, fmt.Errorf("join code: %d characters where it should end after %d", len(syms), want)
	}
	return data, nil
}

// readCode reads the bytes, whose number checkGroups has verified.
func readCode(b []byte) (Group, error) {
	nameEnd := 1 + int(b[0]&31) + 1
	sumAt := nameEnd + secretSize
	if string(codeSum(b[:sumAt])) != string(b[sumAt:sumAt+sumSize]) {
		return Group{}, errors.New("join code: its checksum is wrong: compare it character by character")
	}
	g := Group{Name: string(b[1:nameEnd]), Secret: secretOf(b[nameEnd:sumAt]), Trusted: b[0]&(1<<5) != 0}
	if err := g.check(); err != nil {
		return Group{}, fmt.Errorf("join code: %w", err)
	}
	return g, nil
}

func codeSum(b []byte) []byte {
	sum := sha256.Sum256(append([]byte("dtpx join code 0\x00"), b...))
	return sum[:sumSize]
}

// symbols cuts bytes into 5 bits each and fills up the last group.
func symbols(b []byte) (syms []byte) {
	for at := 0; at < len(b)*8 || len(syms)%dataChars != 0; at += 5 {
		var s byte
		for bit := at; bit < at+5; bit++ {
			s <<= 1
			if bit/8 < len(b) && b[bit/8]&(0x80>>(bit%8)) != 0 {
				s |= 1
			}
		}
		syms = append(syms, s)
	}
	return syms
}

// checkSymbol is a weighted sum over GF(32), by Horner's rule: with different
// weights other than 0 and 1 it finds every single wrong symbol and every
// swap of two within a group, and by place every swap of two near groups.
func checkSymbol(place int, data []byte) byte {
	c := byte(place % 32)
	for _, s := range data {
		c = double(c) ^ s
	}
	return double(c)
}

// double multiplies by x modulo x⁵+x²+1.
func double(a byte) byte {
	a <<= 1
	if a&32 != 0 {
		a ^= 0b100101
	}
	return a
}
