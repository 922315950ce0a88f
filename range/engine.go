package ranges

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dtpx/range/internal/sched"
)

// Defaults of an Engine's fields.
const (
	DefaultMinSize     = 4 << 20
	DefaultWindow      = 64 << 20
	DefaultMemory      = 256 << 20
	DefaultConnections = 16
)

// Engine is what all downloads of a program share. Its exported fields are
// write-once: set them before the first use. The zero value is usable.
type Engine struct {
	// MinSize is the length in bytes from which a response is accelerated.
	MinSize int64
	// Window is the read-ahead in bytes of one download.
	Window int64
	// Memory bounds all windows together.
	Memory *Memory
	// Connections bounds parallel connections to one host from this machine.
	Connections int
	// Disabled turns acceleration off; responses are only counted.
	Disabled bool
	// Never lists host globs that are not accelerated.
	Never []string
	// Hosts remembers what was learnt about hosts; nil forgets at exit.
	Hosts *Hosts
	// Sources returns what can fetch t beside the direct connection, such as
	// other network interfaces or peers. nil means none. It is called for each
	// download, and again about once a second while it runs: a source with a
	// new Kind and Name then joins it. Where this machine's own line is dead, it
	// is also asked about requests that are not yet downloads, without an Edge;
	// peers that it returns may be sent them. It must return at once.
	Sources func(t Target) []Source
	// Budget, if set, says how many more bytes each source may be assigned from
	// now on (-1 = no bound), where need are still to be assigned; sources[0] is
	// this machine's own link, which takes what no other source may. It is
	// called by one goroutine of a download when that starts and whenever the
	// set of its living sources has changed, never under a lock; the download
	// gives out nothing new until it returns. Missing numbers mean no bound.
	Budget func(t Target, need int64, sources []Source) []int64
	// NewStore makes the reorder buffer of a download; nil keeps it in memory.
	NewStore func() Store
	// Log gets one line per download at info, the rest at debug.
	Log *slog.Logger

	once  sync.Once
	stats counters
	block int64               // unit in which windows are freed; tests use small ones
	tune  func(*sched.Params) // the tests' last word on a download's constants
	dead  sync.Map            // connections that nobody heard and that were closed

	writes atomic.Int64 // requests that have changed something, of whatever URL

	mu       sync.Mutex
	active   map[string][]*Download // by key
	log      []*entry               // newest last
	redirect *redirects

	crowd crowd
}

// keepFinished is how many finished downloads are remembered for Downloads.
const keepFinished = 100

func (e *Engine) init() {
	e.once.Do(func() {
		e.MinSize = orDefault(e.MinSize, DefaultMinSize)
		e.Window = orDefault(e.Window, DefaultWindow)
		e.Connections = orDefault(e.Connections, DefaultConnections)
		e.block = orDefault(e.block, blockSize)
		if e.Memory == nil {
			e.Memory = NewMemory(DefaultMemory)
		}
		if e.Hosts == nil {
			e.Hosts = NewHosts()
		}
		if e.NewStore == nil {
			e.NewStore = func() Store { return newMemStore(e.block) }
		}
		if e.Log == nil {
			e.Log = slog.New(slog.DiscardHandler)
		}
		e.active = map[string][]*Download{}
		e.redirect = newRedirects()
	})
}

func orDefault[T int | int64](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

// never reports whether host matches one of the globs.
func (e *Engine) never(host string) bool {
	for _, g := range e.Never {
		if ok, _ := path.Match(strings.ToLower(g), strings.ToLower(host)); ok {
			return true
		}
	}
	return false
}

func newID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// remember puts a download into the list that Downloads returns, unless it is one of
// the parts of what stands there.
func (e *Engine) remember(en *entry, p *parts) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p != nil {
		if p.of = append(p.of, en); p.whole {
			return
		}
	}
	e.log = append(e.log, en)
	finished := 0
	for _, o := range e.log {
		if o.finished() {
			finished++
		}
	}
	for i := 0; i < len(e.log) && finished > keepFinished; {
		if e.log[i].finished() {
			e.log = append(e.log[:i:i], e.log[i+1:]...)
			finished--
			continue
		}
		i++
	}
}

// forget takes d out of the running ones, so that nobody joins it any more.
func (e *Engine) forget(d *Download) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Memory.leave(d)
	ds := e.active[d.key]
	for i, o := range ds {
		if o == d {
			ds = append(ds[:i:i], ds[i+1:]...)
			break
		}
	}
	if len(ds) == 0 {
		delete(e.active, d.key)
	} else {
		e.active[d.key] = ds
	}
}

// finished logs d's line and learns from it.
func (e *Engine) finished(d *Download) {
	d.learn()
	d.learnBarred()
	i := d.info()
	e.settle(d.listing, i)
	e.stats.count(i)
	e.Log.Info("download", "id", i.ID, "url", i.URL, "client", i.Client, "bytes", i.Sent, "of", i.Size,
		"seconds", i.Seconds, "state", i.State, "sources", len(i.Sources), "duplicate", i.Duplicate)
}

// Close ends all running downloads and waits for them.
func (e *Engine) Close() {
	e.init()
	e.mu.Lock()
	var all []*Download
	for _, ds := range e.active {
		all = append(all, ds...)
	}
	e.mu.Unlock()
	for _, d := range all {
		d.mu.Lock()
		d.cancel() // nothing lingers any more
		rs := slices.Clone(d.readers)
		d.mu.Unlock()
		for _, r := range rs {
			r.Close()
		}
		d.expire()
		<-d.over
	}
}

// since is the seconds from began to done, or to now.
func since(began, done time.Time) float64 {
	if done.IsZero() {
		done = time.Now()
	}
	return done.Sub(began).Seconds()
}
