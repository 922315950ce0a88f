package disk

import (
	"bytes"
	"os"
	"slices"
	"testing"
	"time"
)

// What is read is written the same; nothing panics.
func FuzzHeader(f *testing.F) {
	h := header{id: ID{1}, key: Key{2}, total: 1000, created: 7, block: testBlock}
	f.Add(h.encode())
	f.Add(resealed(h.encode(), 8, entryVersion+1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= headerLen { // else nothing ever gets past the checksum
			b = resealed(b, 8, entryVersion)
			copy(b, entryMagic)
			b = resealed(b, 12, testBlock)
		}
		h, err := decodeHeader(b, testBlock)
		if err == nil && !bytes.Equal(h.encode()[:80], b[:80]) {
			t.Errorf("%+v", h)
		}
	})
}

var fuzzed = header{id: ID{1}, key: Key{2}, total: 2000, created: 7, block: testBlock}

// FuzzJournal reads any bytes, and then what is appended where they end to be a
// journal: what stands behind is never taken for a part of it.
func FuzzJournal(f *testing.F) {
	c := chain{sum: fuzzed.sum(), salt: 5}
	b := c.append(nil, metaRecord([]byte("meta")), []byte("meta"))
	b = c.append(b, record{kind: kindBlock, block: 3, length: 256, hash: 9}, nil)
	b = c.append(b, record{kind: kindDrop, block: 3}, nil)
	f.Add(b, uint16(0), uint16(0))
	f.Add(b, uint16(60), uint16(1))
	f.Add(append(b, b...), uint16(0), uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, at, flip uint16) {
		b = slices.Clone(b)
		if int(at) < len(b) {
			b[at] ^= byte(flip)
		}
		was, end := journalOf(t, b)
		if end.end > int64(len(b)) {
			t.Fatalf("ends at %d of %d", end.end, len(b))
		}
		end.salt++
		add := record{kind: kindBlock, block: 2, length: 100, flags: flagZstd, hash: 77}
		tail := b[end.end:]
		b = end.append(b[:end.end:end.end], add, nil)
		if len(tail) > recordLen { // cutting was lost, too
			b = append(b, tail[recordLen:]...)
		}
		now, again := journalOf(t, b)
		if !slices.Equal(now, append(was, add)) || again.end != end.end {
			t.Errorf("%v, then %v", was, now)
		}
	})
}

func journalOf(t *testing.T, b []byte) (rs []record, end chain) {
	t.Helper()
	tab := newTable(fuzzed.blocks())
	end, err := readJournal(bytes.NewReader(b), fuzzed, func(r record, payload []byte) {
		if r.kind == kindMeta && (len(payload) != int(r.length) || len(payload) > MaxMeta) {
			t.Errorf("payload of %d", len(payload))
		}
		rs = append(rs, r)
		tab.take(fuzzed, r)
	})
	if err != nil || tab.held < 0 || tab.bytes < 0 || tab.held > fuzzed.blocks() {
		t.Errorf("%v %+v", err, tab)
	}
	return rs, end
}

// FuzzIndex opens a store with any index, and closes it: the next one reads the
// same.
func FuzzIndex(f *testing.F) {
	it := item{id: ID{1}, key: Key{2}, total: 5, stored: 6, created: 7, cost: 1, heat: 3, used: 1, uses: 2}
	b := appendPut(appendHead(nil), &it)
	f.Add(appendRemove(b, ID{3}))
	f.Add(appendRemove(b, ID{1}))
	f.Add(b[:150])
	f.Fuzz(func(t *testing.T, b []byte) {
		b = slices.Clone(b)
		for at := indexLen; at+indexLen <= len(b); at += indexLen {
			seal((*[indexLen]byte)(b[at:]), b[:at]) // or nothing gets past the checksum
		}
		v := indexOf(t, b)
		var sum int64
		for id, it := range v.items {
			if !it.sensible() || it.id != id {
				t.Errorf("%+v", it)
			}
			sum += it.stored
		}
		if sum != v.bytes || sum < 0 {
			t.Errorf("sum %d, %d", sum, v.bytes)
		}
		again := indexOf(t, v.snapshotLocked())
		if len(again.items) != len(v.items) || again.bytes != v.bytes {
			t.Errorf("%d entries, then %d", len(v.items), len(again.items))
		}
	})
}

func indexOf(t *testing.T, b []byte) *volume {
	t.Helper()
	o := small()
	o.setDefaults()
	o.Now = func() time.Time { return time.Unix(1e9, 0) }
	m := newMortal(1)
	d, _ := m.mount("")
	file, err := d.Open(indexName, os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	file.WriteAt(b, 0)
	v := (&Store{opts: o, log: o.Log, count: &counters{}}).newVolume(d, nil)
	if _, _, err := v.loadIndex(file); err != nil {
		t.Fatal(err)
	}
	return v
}

// FuzzAssembly puts pieces together, against a map of bytes.
func FuzzAssembly(f *testing.F) {
	f.Add([]byte{0, 10, 20, 10, 10, 10, 5, 30})
	f.Add([]byte{0, 255, 255, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		a := &assembly{buf: &buffer{b: make([]byte, testBlock)}}
		var come [testBlock]bool
		for ; len(in) >= 2; in = in[2:] {
			p := piece{int(in[0]), min(testBlock, int(in[0])+int(in[1]))}
			if p.start == p.end {
				continue
			}
			a.add(p)
			for at := p.start; at < p.end; at++ {
				come[at] = true
			}
			var want []piece
			for at, c := range come {
				switch {
				case c && len(want) > 0 && want[len(want)-1].end == at:
					want[len(want)-1].end++
				case c:
					want = append(want, piece{at, at + 1})
				}
			}
			if !slices.Equal(a.pieces, want) || a.whole() != (len(want) == 1 && want[0] == piece{0, testBlock}) {
				t.Fatalf("%v, want %v", a.pieces, want)
			}
		}
	})
}
