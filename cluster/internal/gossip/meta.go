package gossip

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"
)

// Meta is what a member says of itself. All of it is a hint: nothing is secured
// or charged by it.
type Meta struct {
	Name   string // for people; at most 64 bytes travel
	Lends  bool
	Rate   int64  // bytes per second that it lends, 0 unlimited
	Quota  int64  // bytes that it lends per day, 0 unlimited
	Left   int64  // bytes of Quota left today, -1 unlimited
	Digest uint64 // version of the summary of its cache, 0 none

	// Also are more addresses of its machine, on other LANs, at which the same port
	// answers: the valid ones come first.
	Also [alsoMax]netip.Addr
}

const alsoMax = 3

// The wire form: a version, then fields as key, length, value. Numbers are
// varints, and zero values are left out. Fields that are not known are skipped,
// so new ones need no new version.
const (
	metaVersion = 1
	metaMax     = 512 // memberlist.MetaMaxSize
	nameMax     = 64

	keyName   = 1
	keyLends  = 2
	keyRate   = 3
	keyQuota  = 4
	keyLeft   = 5
	keyDigest = 6
	keyAlso   = 7 // once for each address, 4 or 16 bytes
)

var errMeta = errors.New("malformed metadata")

// encode never exceeds metaMax.
func (m Meta) encode() []byte {
	b := []byte{metaVersion}
	if name := cut(m.Name); name != "" {
		b = field(b, keyName, []byte(name))
	}
	if m.Lends {
		b = field(b, keyLends, []byte{1})
	}
	for i, n := range []int64{m.Rate, m.Quota, m.Left} {
		if n != 0 {
			b = field(b, keyRate+byte(i), binary.AppendVarint(nil, n))
		}
	}
	if m.Digest != 0 {
		b = field(b, keyDigest, binary.AppendUvarint(nil, m.Digest))
	}
	for _, a := range m.Also {
		if a = a.Unmap().WithZone(""); a.IsValid() {
			b = field(b, keyAlso, a.AsSlice())
		}
	}
	return b
}

func field(b []byte, key byte, value []byte) []byte {
	return append(append(b, key, byte(len(value))), value...)
}

// cut makes a name valid UTF-8 of at most nameMax bytes.
func cut(name string) string {
	name = strings.ToValidUTF8(name, "")
	if len(name) <= nameMax {
		return name
	}
	end := nameMax
	for !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end]
}

// parseMeta reads what encode made, here or in another version of dtpx.
func parseMeta(b []byte) (m Meta, err error) {
	if len(b) == 0 || len(b) > metaMax || b[0] != metaVersion {
		return Meta{}, errMeta
	}
	for b = b[1:]; len(b) > 0; {
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return Meta{}, errMeta
		}
		key, value := b[0], b[2:2+int(b[1])]
		if !m.set(key, value) {
			return Meta{}, errMeta
		}
		b = b[2+len(value):]
	}
	return m, nil
}

func (m *Meta) set(key byte, value []byte) (ok bool) {
	switch key {
	case keyName:
		m.Name = cut(string(value))
		return m.Name == string(value)
	case keyLends:
		m.Lends = len(value) == 1 && value[0] == 1
		return len(value) == 1
	case keyRate:
		m.Rate, ok = number(value)
	case keyQuota:
		m.Quota, ok = number(value)
	case keyLeft:
		m.Left, ok = number(value)
	case keyDigest:
		n := 0
		m.Digest, n = binary.Uvarint(value)
		ok = n == len(value) && n > 0
	case keyAlso:
		return m.addAlso(value)
	default:
		ok = true
	}
	return ok
}

// addAlso takes one more address; a later version may have more of them.
func (m *Meta) addAlso(value []byte) (ok bool) {
	a, ok := netip.AddrFromSlice(value)
	if i := slices.Index(m.Also[:], netip.Addr{}); ok && i >= 0 {
		m.Also[i] = a
	}
	return ok && !a.Is4In6()
}

func number(b []byte) (int64, bool) {
	v, n := binary.Varint(b)
	return v, n == len(b) && n > 0
}
