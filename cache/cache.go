// Package cache keeps responses, whole or in part, and answers from them: a
// shared HTTP cache (RFC 9111) in front of an http.RoundTripper.
//
//	RoundTrip: find what is stored for the request            object.go
//	    fresh, all there: answer from it                      answer.go
//	    fresh, partly there, or stale: ask the origin about it, or for what is missing
//	        304, or a 206 of the same version: answer from it
//	    else: send the client's own request, and keep what comes back   keep.go
//
//	reading a stored body: what is held, from memory or disk  reader.go
//	    what somebody is just fetching: wait for it
//	    what nobody has: fetch it, and keep it
//
// Two clients that ask for the same at once cost the origin one answer
// (flight.go). What a client leaves behind when it goes may be fetched to its end
// (finish.go).
//
// rules/ decides by values only; disk/ keeps bytes and knows no HTTP. What goes
// wrong with the disk never reaches a client: it makes misses.
//
// Guaranteed: a body from here is that of one version of the resource, or breaks
// off with an error. Not guaranteed: that an answer is kept.
package cache

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"dtpx/cache/internal/digests"
	"dtpx/cache/internal/disk"
	"dtpx/cache/internal/rules"
)

// KeyRule says which query parameters do not belong to what a URL names.
type KeyRule = rules.KeyRule

// ErrInUse says that another process has the directory open.
var ErrInUse = disk.ErrInUse

// Options of a Cache. All but Dir have defaults.
type Options struct {
	Dir    string
	Size   int64 // bytes on disk; 10 GiB
	Memory int64 // bytes of small responses in memory; 32 MiB
	Keys   []KeyRule
	Log    *slog.Logger
	Now    func() time.Time

	store disk.Options  // the tests' word on the store
	learn time.Duration // and on how often neighbours are asked; 2 s
	// and on which addresses are public
	public func(netip.Addr) bool
}

// Cache is a directory of responses. It is safe for concurrent use.
type Cache struct {
	o       Options // write-once, as is all above mu
	log     *slog.Logger
	store   *disk.Store
	small   *memory
	metas   metas
	lives   lives
	stats   counters
	flying  flights
	lan     *lan // nil: no neighbours
	digests *digests.Table
	open    open

	spare    func(n int64) bool // nil: always
	ended    ended
	placing  placing
	gathered atomic.Int64 // bytes of bodies of unknown length, see keptBody.room

	ctx    context.Context // of what goes on without a client
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	closed bool
	offer  *Offer
	behind map[string]bool // what goes on without a client, by name
}

// Open opens a cache. It fails if another process has the directory (ErrInUse),
// or if an option is wrong; a disk that cannot be used makes it empty.
func Open(o Options) (*Cache, error) {
	for _, k := range o.Keys {
		if err := k.Validate(); err != nil {
			return nil, fmt.Errorf("cache.keys: %w", err)
		}
	}
	if o.Memory <= 0 {
		o.Memory = 32 << 20
	}
	if o.public == nil {
		o.public = isPublic
	}
	if o.learn <= 0 {
		o.learn = learnEvery
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Cache{o: o, log: o.Log, small: newMemory(o.Memory), behind: map[string]bool{}}
	d := o.store
	d.Size, d.Log, d.Now, d.Placement = o.Size, o.Log, o.Now, c.placing.factor
	store, err := disk.Open(o.Dir, d)
	if err != nil {
		return nil, fmt.Errorf("open cache %s: %w", o.Dir, err)
	}
	c.store = store
	c.digests = digests.Open(filepath.Join(o.Dir, "digests"), o.Now)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Close ends what goes on without clients, waits for it, and closes the
// directory. Answers that are still being read break off.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.tasks.Wait()
	c.digests.Close()
	return c.store.Close()
}

// maxBehind bounds what goes on without a client.
const maxBehind = 8

// goOn runs f without a client, unless the same is running already or too much is.
func (c *Cache) goOn(name string, f func(ctx context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.behind[name] || len(c.behind) >= maxBehind {
		return
	}
	c.behind[name] = true
	c.tasks.Add(1)
	go func() {
		defer c.tasks.Done()
		f(c.ctx)
		c.mu.Lock()
		delete(c.behind, name)
		c.mu.Unlock()
	}()
}

// keyOf is what entries of a resource are found by on disk.
func keyOf(id string) disk.Key { return sha256.Sum256([]byte(id)) }

// Transport is the cache in front of another RoundTripper. Realm tells apart who
// may reach what: what was fetched in one realm is given to another one only
// after the origin has confirmed it there.
type Transport struct {
	Cache *Cache            // required
	Next  http.RoundTripper // required
	Realm string
	// Watch, if set, is given each answer with a body from the cache, to be listed;
	// how is hit or partial.
	Watch func(req *http.Request, resp *http.Response, how string) *http.Response
}
