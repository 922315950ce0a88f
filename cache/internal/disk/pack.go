package disk

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress"
	"github.com/klauspost/compress/zstd"
)

const (
	// worthIt is the estimate from which packing is tried: compress calls more
	// than 0.1 likely compressible, and text is at 0.4 and more.
	worthIt = 0.15
	// savedMin of 100 parts of what is allocated; a packed block cannot be sent by
	// the kernel.
	savedMin = 12
	// sampleLen bytes are looked at in the beginning and in the middle of a block.
	sampleLen = 2048
	// streakMax bounds how many blocks in a row are not even looked at: a resource
	// that did not pay so far seldom does, an archive of both kinds may.
	streakMax = 32
	// zstdWindow is no larger than a block.
	zstdWindow = BlockSize
)

// zip packs blocks. It is never closed: without streams it has no goroutines, and
// a reader may still be unpacking when the store closes.
type zip struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newZip() (*zip, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	return &zip{enc, dec}, nil
}

// streak is what was learnt of an entry: after each block that did not pay twice
// as many are skipped.
type streak struct{ misses, skip int }

// pack returns the packed form of b in out, nil if it does not pay.
func (z *zip) pack(h header, s *streak, b, out []byte) []byte {
	if s.skip > 0 {
		s.skip--
		return nil
	}
	limit := h.allocated(int64(len(b))) * (100 - savedMin) / 100
	if limit >= h.page() && estimate(b) >= worthIt {
		if p := z.enc.EncodeAll(b, out[:0]); h.allocated(int64(len(p))) <= limit && len(p) < len(b) {
			*s = streak{}
			return p
		}
	}
	s.misses = min(s.misses+1, 6)
	s.skip = min(streakMax, 1<<s.misses-2)
	return nil
}

// estimate is compress's for samples of b.
func estimate(b []byte) float64 {
	if len(b) <= 2*sampleLen {
		return compress.Estimate(b)
	}
	mid := len(b) / 2
	return max(compress.Estimate(b[:sampleLen]), compress.Estimate(b[mid:mid+sampleLen]))
}

// unpack fills out, or it is an error.
func (z *zip) unpack(b, out []byte) ([]byte, error) {
	p, err := z.dec.DecodeAll(b, out[:0:len(out)])
	if err == nil && len(p) != len(out) {
		err = fmt.Errorf("unpack block: %d bytes of %d", len(p), len(out))
	}
	return p, err
}

// plainKept blocks stay unpacked.
const plainKept = 8

type plainKey struct {
	id    ID
	block uint32
	hash  uint64
}

type plainBlock struct {
	key plainKey
	buf *buffer
	n   int
}

// plain are the blocks unpacked last.
type plain struct {
	mu   sync.Mutex
	ring [plainKept]plainBlock
	next int
}

func (p *plain) read(k plainKey, to []byte, at int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.ring {
		if b.buf != nil && b.key == k {
			copy(to, b.buf.b[at:b.n])
			return true
		}
	}
	return false
}

// keep takes b and returns the buffer that it replaces.
func (p *plain) keep(k plainKey, b *buffer, n int) *buffer {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.ring[p.next].buf
	p.ring[p.next] = plainBlock{k, b, n}
	p.next = (p.next + 1) % plainKept
	return old
}
