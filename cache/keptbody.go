package cache

import (
	"bytes"
	"io"
	"sync"

	"dtpx/cache/internal/disk"
	ranges "dtpx/range"
)

// keptBody is the body of an answer that is kept. Where the transport takes the
// bytes it only notes that the client has left. Read and Close may be called from
// different goroutines.
type keptBody struct {
	io.ReadCloser
	mu sync.Mutex // held while reading; guards what follows

	k      *keeper
	r      ranges.Range
	pos    int64
	known  bool          // r
	small  *bytes.Buffer // of a small one, or of one whose length is not known
	beyond int64         // bytes of small that count for gathered
	meta   *meta         // of small
	flight *flight
	once   sync.Once
}

func (b *keptBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.k.live; l != nil {
		l.pull.began()
		defer l.pull.ended() // what waits for the disk counts, too
	}
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.got(p[:n])
	}
	// With the last byte the client may ask again, before it is known here that
	// there is no more.
	if err == io.EOF || b.known && b.pos == b.r.End {
		b.finished()
	}
	return n, err
}

func (b *keptBody) got(p []byte) {
	switch {
	case b.small != nil && !b.room(len(p)):
		b.letGo() // larger than was known
		b.flight.end()
	case b.small != nil:
		if b.small.Write(p); b.small.Len() > smallMax {
			b.flight.end()
		}
	case b.k.fill != nil && !b.k.taken:
		_, _ = b.k.fill.WriteAt(p, b.pos)
		b.k.live.brought(b.pos + int64(len(p)))
		b.k.fill.Pace(b.k.v.in.Context())
	}
	b.pos += int64(len(p))
}

// The store has to be told how large an entry will be. Bodies of unknown length, as
// servers send what they make or compress on the fly, wait in memory for that: the
// documents of registries and archives of source code, not discs.
const (
	gatherMax = 8 << 20  // of one, beyond smallMax
	gatherSum = 16 << 20 // of all
)

// room reports whether small may take n bytes more.
func (b *keptBody) room(n int) bool {
	beyond := int64(b.small.Len()+n) - smallMax
	switch {
	case beyond <= b.beyond:
		return true
	case b.known || beyond > gatherMax:
		return false
	}
	gathered := &b.k.v.c.gathered
	if more := beyond - b.beyond; gathered.Add(more) > gatherSum {
		gathered.Add(-more)
		return false
	}
	b.beyond = beyond
	return true
}

// letGo ends small.
func (b *keptBody) letGo() {
	if b.small != nil {
		b.k.v.c.gathered.Add(-b.beyond)
		b.small, b.beyond = nil, 0
	}
}

// finished keeps a small body that is whole.
func (b *keptBody) finished() {
	if b.small == nil || b.known && b.pos != b.r.End {
		return
	}
	b.k.keepSmall(b.meta, b.small.Bytes())
	b.letGo()
	b.flight.end()
}

// keepSmall keeps a whole answer that has been gathered, on disk, and in memory if it
// is small.
func (k *keeper) keepSmall(m *meta, body []byte) {
	c := k.v.c
	raw, err := m.encode()
	if err != nil {
		return
	}
	if want := k.v.named(m); want != nil && !want.is(bytes.NewReader(body)) {
		c.notNamed(k.v.in.URL.Host)
		return
	}
	key := keyOf(k.v.req.Key.ID)
	if k.outlived() {
		return
	}
	var id disk.ID
	if e, err := c.store.Create(key, raw, int64(len(body))); err == nil {
		f := e.Fill()
		_, _ = f.WriteAt(body, 0)
		f.Close()
		id = e.ID()
		if len(body) > smallMax {
			k.v.learn(e)
		}
		e.Release()
	}
	c.displace(k.v.req.Key, m, id)
	if len(body) > smallMax {
		return
	}
	small := bytes.Clone(body)
	c.small.put(key, newSmall(m, small))
	k.v.learnSmall(m, small)
}

// Close ends the filling. What a client has left behind may be finished without
// it.
func (b *keptBody) Close() error {
	err := b.ReadCloser.Close() // a Read that waits comes back
	b.mu.Lock()
	defer b.mu.Unlock()
	b.once.Do(func() {
		b.flight.end()
		b.letGo()
		k := b.k
		if k.entry == nil {
			return
		}
		if !k.taken {
			k.fill.Close()
			k.live.end()
		}
		if b.pos < b.r.End {
			k.live.end() // the download may linger for a seek; nobody should wait for it
			k.v.left(k.entry)
		} else {
			k.v.learn(k.entry)
		}
		k.entry.Release()
	})
	return err
}
