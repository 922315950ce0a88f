package cache

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"dtpx/cache/internal/disk"
	ranges "dtpx/range"
)

// Offer answers other machines that ask for what is cached here:
//
//	GET /summary      what may be here, see summary
//	GET /entries/TAG  what is here of a key: a list of offered
//	GET /data/ID      bytes of an entry, by Range, that are held
//
// Only what a shared cache may give to anybody is in the store at all, and of that
// only what came from a public address is offered. Who may ask
// is for the caller to see to.
type Offer struct {
	c *Cache

	mu      sync.Mutex // guards what follows
	version uint64
	sum     *summary
	tags    map[tag]disk.Key
	built   time.Time
	written int64 // blocks in the store when it was built
	entries int
}

const (
	// offerMin is the size from which an entry is worth a neighbour's question.
	offerMin = 64 << 10
	// offerEvery bounds how often a summary is made.
	offerEvery = 5 * time.Second
)

// Offer is the answering side.
func (c *Cache) Offer() *Offer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.offer == nil {
		c.offer = &Offer{c: c}
	}
	return c.offer
}

// Version is that of the summary; 0 while there is nothing. It makes a new one if
// what is stored has changed.
func (o *Offer) Version() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refreshLocked()
	return o.version
}

func (o *Offer) refreshLocked() {
	now, st := o.c.o.Now(), o.c.store.Stats()
	if o.sum != nil && (now.Sub(o.built) < offerEvery || st.Written == o.written && st.Entries == o.entries) {
		return
	}
	o.built, o.written, o.entries = now, st.Written, st.Entries
	var keys []disk.Key
	o.c.store.Entries(func(i disk.Info) bool {
		if i.Total >= offerMin {
			keys = append(keys, i.Key)
		}
		return true
	})
	var salt [16]byte
	rand.Read(salt[:])
	o.sum, o.tags = newSummary(salt, len(keys)), make(map[tag]disk.Key, len(keys))
	for _, k := range keys {
		t := o.sum.tag(k)
		o.tags[t] = k
		o.sum.add(t)
	}
	if o.version = 0; len(keys) > 0 {
		o.version = binary.BigEndian.Uint64(salt[:]) | 1
	}
}

// offered is one entry, as a neighbour is told of it.
type offered struct {
	ID    string         `json:"id"`
	Total int64          `json:"total"`
	Held  []ranges.Range `json:"held"`
	Meta  *meta          `json:"meta"`
}

// ServeHTTP implements http.Handler.
func (o *Offer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /summary", o.serveSummary)
	mux.HandleFunc("GET /entries/{tag}", o.serveEntries)
	mux.HandleFunc("GET /data/{id}", o.serveData)
	mux.ServeHTTP(w, r)
}

func (o *Offer) serveSummary(w http.ResponseWriter, _ *http.Request) {
	o.mu.Lock()
	o.refreshLocked()
	b := o.sum.encode()
	o.mu.Unlock()
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b)
}

func (o *Offer) serveEntries(w http.ResponseWriter, r *http.Request) {
	var t tag
	b, err := hex.DecodeString(r.PathValue("tag"))
	if err != nil || len(b) != len(t) {
		http.Error(w, "malformed tag", http.StatusBadRequest)
		return
	}
	copy(t[:], b)
	o.mu.Lock()
	k, ok := o.tags[t]
	o.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	list := []offered{}
	for _, e := range o.c.store.Lookup(k) {
		if m, err := o.c.metas.of(e); err == nil && m.offers() && e.Total() >= offerMin && keyOf(m.Key) == k {
			list = append(list, offered{ID: e.ID().String(), Total: e.Total(), Held: heldOf(e), Meta: m.told()})
		}
		e.Release()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list)
}

// offers reports whether neighbours may be told of m: not where the record has
// fields of the request, which may be somebody's secret, beside the content coding.
func (m *meta) offers() bool {
	for f := range m.Select {
		if f != "Accept-Encoding" {
			return false
		}
	}
	return (!m.Signed || m.Open) && m.Public && m.Unproven == nil
}

// told is what neighbours are told of m: of what is behind a signed URL the version
// alone, as the storage's other fields may be of whom the link was given to.
func (m *meta) told() *meta {
	if !m.Signed {
		return m
	}
	n := *m
	n.Header = http.Header{}
	for _, f := range []string{"Etag", "Date", "Last-Modified"} {
		if lines := m.Header[f]; len(lines) > 0 {
			n.Header[f] = lines
		}
	}
	return &n
}

func heldOf(e *disk.Entry) (held []ranges.Range) {
	for _, r := range e.Held() {
		held = append(held, ranges.Range{Start: r.Start, End: r.End})
	}
	return held
}

// serveData sends a range that is held, and breaks off if it is no longer.
func (o *Offer) serveData(w http.ResponseWriter, r *http.Request) {
	id, err := disk.ParseID(r.PathValue("id"))
	kind, want, _ := ranges.ParseRange(r.Header.Values("Range"))
	if err != nil || kind != ranges.RangeOne || want.End <= want.Start {
		http.Error(w, "want one range of an entry", http.StatusBadRequest)
		return
	}
	e, ok := o.c.store.Get(id)
	if !ok {
		http.NotFound(w, r)
		return
	}
	defer e.Release()
	if m, err := o.c.metas.of(e); err != nil || !m.offers() { // whoever has told of it
		http.NotFound(w, r)
		return
	}
	if holds(heldOf(e), want.Start) < want.End {
		http.Error(w, "not held", http.StatusRequestedRangeNotSatisfiable)
		return
	}
	e.Use()
	w.Header().Set("Content-Length", strconv.FormatInt(want.Len(), 10))
	w.WriteHeader(http.StatusPartialContent)
	if _, err := io.CopyBuffer(w, io.NewSectionReader(e, want.Start, want.Len()), make([]byte, disk.BlockSize)); err != nil {
		panic(http.ErrAbortHandler)
	}
	o.c.stats.given.Add(want.Len())
}
