package cache

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"dtpx/cache/internal/disk"
)

// summary says what a cache may hold, without saying what: a Bloom filter over
// tags, which are hashes of keys under a salt of this very summary. Who knows a
// URL can test it; nobody can read one out, or tell that two summaries have
// something in common. One in a hundred answers is a false yes.
type summary struct {
	salt [16]byte
	bits []byte
}

const (
	summaryBits   = 10 // for each entry
	summaryHashes = 7
	summaryMax    = 4 << 20 // bytes: three million entries
)

// tag names a key in one summary.
type tag [16]byte

func (s *summary) tag(k disk.Key) (t tag) {
	h := hmac.New(sha256.New, s.salt[:])
	h.Write(k[:])
	copy(t[:], h.Sum(nil))
	return t
}

// newSummary is one with room for n keys.
func newSummary(salt [16]byte, n int) *summary {
	return &summary{salt: salt, bits: make([]byte, min(summaryMax, max(8, (n*summaryBits+7)/8)))}
}

// at are the bits of a tag: two halves of it make all of them (Kirsch and
// Mitzenmacher).
func (s *summary) at(t tag, i int) (byteAt int, mask byte) {
	a, b := binary.BigEndian.Uint64(t[:8]), binary.BigEndian.Uint64(t[8:])
	n := (a + uint64(i)*(b|1)) % uint64(8*len(s.bits))
	return int(n / 8), 1 << (n % 8)
}

func (s *summary) add(t tag) {
	for i := range summaryHashes {
		at, mask := s.at(t, i)
		s.bits[at] |= mask
	}
}

// may is false if the key is not there.
func (s *summary) may(t tag) bool {
	for i := range summaryHashes {
		if at, mask := s.at(t, i); s.bits[at]&mask == 0 {
			return false
		}
	}
	return true
}

const summaryVersion = 1

func (s *summary) encode() []byte {
	return append(append([]byte{summaryVersion}, s.salt[:]...), s.bits...)
}

var errSummary = errors.New("malformed summary")

func parseSummary(b []byte) (*summary, error) {
	if len(b) < 1+16+8 || b[0] != summaryVersion || len(b) > 1+16+summaryMax {
		return nil, errSummary
	}
	s := &summary{bits: b[17:]}
	copy(s.salt[:], b[1:])
	return s, nil
}
