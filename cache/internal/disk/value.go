package disk

import (
	"bytes"
	"cmp"
	"container/heap"
	"math"
	"slices"
	"time"
)

// What is evicted first is what is worth least per byte on disk:
//
//	value = placement × cost × (requestWorth + stored) / stored × Σ 2^((t−now)/halfLife)
//
// with a term of the sum for each use at time t. It is GreedyDual-Size-Frequency
// with the frequency decaying (LRFU) in place of its inflation: recency and
// frequency are one number, and as all values decay alike, their order changes
// only by uses. heat is the logarithm of Σ 2^(t/halfLife), so nothing has to be
// touched as time goes by.
const (
	// halfLife: a use today is worth two of yesterday.
	halfLife = 24 * time.Hour
	// requestWorth is what saving a request is worth in bytes: 50 ms at 1.3 MB/s.
	// It lets small entries live longer, and not for ever.
	requestWorth = 64 << 10
)

// item is an entry in the index: all that is in memory while its file is closed.
// It is 112 bytes, and about 70 more in the volume's maps.
type item struct {
	id      ID
	key     Key
	total   int64
	stored  int64   // bytes on disk
	created int64   // ns since 1970
	heat    float64 // log2
	used    uint32  // s since 1970
	uses    uint32
	cost    float32
	flags   uint8
	next    *item  // of the same hash of key
	open    *Entry // nil while the file is closed
}

const (
	itemSettled uint8 = 1 << iota // the index is not behind the file
	itemLogged                    // the index log knows it
	itemTouched                   // changed since it was logged
	itemUnseen                    // the index knew it, the scan has not met it
	itemGone                      // removed
)

func (it *item) has(f uint8) bool { return it.flags&f != 0 }

func (it *item) set(f uint8, on bool) {
	if on {
		it.flags |= f
	} else {
		it.flags &^= f
	}
}

// use counts one at t.
func (it *item) use(t time.Time) {
	it.heat = warmer(it.heat, t)
	it.used = seconds(t)
	if it.uses < math.MaxUint32 {
		it.uses++
	}
}

func seconds(t time.Time) uint32 { return uint32(min(max(0, t.Unix()), math.MaxUint32)) }

// coldest is the heat of what was never used.
const coldest = -1e9

// lives is t in half-lives.
func lives(t time.Time) float64 { return float64(t.Unix()) / halfLife.Seconds() }

// warmer is log2(2^heat + 2^t).
func warmer(heat float64, t time.Time) float64 {
	lo, hi := min(heat, lives(t)), max(heat, lives(t))
	return hi + math.Log2(1+math.Exp2(lo-hi))
}

// sane takes back uses that have not been yet: a clock that was wrong by years
// must not make what was used then immortal.
func (it *item) sane(now time.Time) {
	if it.used > seconds(now) {
		it.used = seconds(now)
	}
	it.heat = min(it.heat, lives(now)+math.Log2(1+float64(it.uses)))
}

// value is the logarithm of the value of one byte.
func (it *item) value(placement float64) float64 {
	stored := float64(max(1, it.stored))
	return it.heat + math.Log2(clamp(placement)*clamp(float64(it.cost))*(requestWorth+stored)/stored)
}

// clamp keeps a factor that a caller computed a factor.
func clamp(x float64) float64 {
	if math.IsNaN(x) {
		return 1
	}
	return min(max(x, 1e-6), 1e6)
}

func (it *item) info() Info {
	return Info{
		ID: it.id, Key: it.key, Total: it.total, Stored: it.stored, Cost: float64(it.cost), Uses: int64(it.uses),
		Created: time.Unix(0, it.created), Used: time.Unix(int64(it.used), 0),
	}
}

// priced is an item with its value.
type priced struct {
	*item
	value float64
}

func cheaper(a, b priced) int {
	return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.created, b.created), bytes.Compare(a.id[:], b.id[:]))
}

// bargain selects the cheapest items that together give need bytes and count
// entries, in one pass.
type bargain struct {
	need, count int64
	bytes       int64
	top         dearest
}

// offer takes p if it is among them so far.
func (b *bargain) offer(p priced) {
	if b.enough(0, 0) && len(b.top) > 0 && cheaper(p, b.top[0]) > 0 {
		return
	}
	heap.Push(&b.top, p)
	b.bytes += p.stored
	for len(b.top) > 0 && b.enough(b.top[0].stored, 1) {
		b.bytes -= heap.Pop(&b.top).(priced).stored
	}
}

// enough reports whether it suffices without so many bytes and entries.
func (b *bargain) enough(bytes, n int64) bool {
	return b.bytes-bytes >= b.need && int64(len(b.top))-n >= b.count
}

// items are what was selected, cheapest first.
func (b *bargain) items() []*item {
	slices.SortFunc(b.top, cheaper)
	its := make([]*item, len(b.top))
	for i, p := range b.top {
		its[i] = p.item
	}
	return its
}

// dearest is a heap with the most valuable item on top.
type dearest []priced

func (h dearest) Len() int           { return len(h) }
func (h dearest) Less(i, j int) bool { return cheaper(h[i], h[j]) > 0 }
func (h dearest) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dearest) Push(x any)        { *h = append(*h, x.(priced)) }
func (h *dearest) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
