package ranges

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dtpx/range/internal/sched"
)

// Download fetches one version of one resource for one or more readers. Its
// goroutines are: run, which drives the plan, and one fetch per open request.
// They end when the last reader leaves.
type Download struct {
	// Write-once, before the first goroutine starts.
	engine    *Engine
	transport *Transport
	id        string
	key       string // of joining
	target    Target
	version   version
	request   *http.Request // the first client's, without body
	header    http.Header   // of slice 0's response
	status    int
	began     time.Time
	listing   *entry
	ctx       context.Context
	cancel    context.CancelFunc
	kick      chan struct{}
	over      chan struct{} // closed when the last goroutine has ended
	played    bool          // by something that jumps
	wg        sync.WaitGroup
	facts     HostFacts   // of the host when it began
	noPeers   bool        // the host refuses peers; guarded by mu
	locals    int         // sources that share this machine's connections
	drainSize int64       // how much of a cut response is read so that its connection lives on
	keeper    Keeper      // nil: what has been read is gone
	written   atomic.Bool // its URL has been written to since it began

	mu      sync.Mutex
	plan    *sched.Plan
	store   Store
	sources []*origin
	fetches map[sched.ID]*fetch
	readers []*Reader
	err     error // sticky; what readers get once stored bytes are used up
	closed  bool
	done    time.Time
	url     *http.Request // the request that slices repeat; changes when a redirect is renewed
	renewed int
	stalled time.Duration  // longest wait of a reader
	sent    int64          // to all readers
	joined  int            // readers beside the first
	served  bool           // a reader got all it was promised
	tail    sched.ReaderID // wants the end early; 0 = nobody
	linger  *time.Timer    // set once the last reader of a played one has left

	alive    []bool        // sources when Budget was last asked; of run alone
	renewing chan struct{} // holds one token while a fresh target is asked for
}

// origin is a source within one download.
type origin struct {
	Source
	lanes []Lane // idle ones
	last  string // last fault, for the curious

	turned  int  // times that a peer was turned away before it was ever served
	refused bool // the origin refused its address, or for local ones the URL
}

// fetch is one open request.
type fetch struct {
	id     sched.ID
	src    sched.SourceID
	r      Range
	cancel context.CancelFunc
	wake   chan struct{}
	lane   Lane // while its answer is being read and no other request follows on it; guarded by mu
}

// now is the plan's clock.
func (d *Download) now() sched.Time { return time.Since(d.began) }

// start begins the download with slice 0: resp's body is r of the resource.
func (d *Download) start(client *http.Request, resp *http.Response, r Range, p *probe) *Reader {
	d.mu.Lock()
	defer d.mu.Unlock()
	rd := d.joinLocked(client, r)
	src := schedID(d.viaLocked(p))
	id := d.plan.Adopt(src, r, p.duration, d.now())
	d.plan.Path(src, p.path())
	f := d.fetchLocked(id, src, r)
	f.cancel = p.cancel
	d.tailLocked()
	d.wg.Add(2)
	go d.run()
	go func() {
		defer d.wg.Done()
		d.pump(f, resp, p.lane)
	}()
	return rd
}

func (d *Download) fetchLocked(id sched.ID, src sched.SourceID, r Range) *fetch {
	f := &fetch{id: id, src: src, r: r, wake: make(chan struct{}, 1)}
	d.fetches[id] = f
	return f
}

// joinLocked adds a reader of r on behalf of req.
func (d *Download) joinLocked(req *http.Request, r Range) *Reader {
	rd := &Reader{d: d, req: req, ctx: req.Context(), pos: r.Start, end: r.End, start: r.Start, ready: make(chan struct{}, 1)}
	rd.id = d.plan.Join(r, 0, d.now())
	rd.owner = len(d.readers) == 0
	d.readers = append(d.readers, rd)
	d.engine.crowd.join(d, clientOf(req.Context()))
	return rd
}

// nudge makes run look at the plan again.
func (d *Download) nudge() {
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// run performs what the plan asks for until the download is over.
func (d *Download) run() {
	defer d.wg.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var look <-chan time.Time
	if d.engine.Sources != nil {
		ticker := time.NewTicker(lookTime)
		defer ticker.Stop()
		look = ticker.C
	}
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-d.kick:
		case <-timer.C:
		case <-look:
			d.look()
		}
		d.rebudget()
		if wait, ok := d.step(); ok {
			timer.Reset(wait)
		}
	}
}

// step asks the plan and starts what it wants; wait is when to ask again.
func (d *Download) step() (wait time.Duration, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return 0, false
	}
	d.plan.SetWindow(d.engine.Memory.grant(d, d.plan.Held(), d.engine.Window))
	now := d.now()
	d.shareLocked(now)
	acts, wake := d.plan.Step(now)
	for _, a := range acts {
		d.doLocked(a)
	}
	d.strandLocked()
	return max(wake-now, time.Millisecond), wake != 0
}

// strandLocked tells readers that the bytes they lack cannot be had any more.
func (d *Download) strandLocked() {
	ids := d.plan.Strand()
	if ids == nil {
		return
	}
	err := errors.New("all sources failed" + d.faultsLocked())
	lost := 0
	for _, r := range d.readers {
		if slices.Contains(ids, r.id) {
			r.err = err
			r.signal()
		}
		if r.err != nil {
			lost++
		}
	}
	if lost == len(d.readers) {
		d.failLocked(err)
	}
	d.nudge()
}

func (d *Download) doLocked(a sched.Action) {
	switch a.Kind {
	case sched.Open:
		f := d.fetchLocked(a.Req, a.Source, a.Range)
		var ctx context.Context
		ctx, f.cancel = context.WithCancel(d.ctx)
		lane, req := d.laneLocked(a), d.sliceRequestLocked(ctx, a.Range)
		d.wg.Add(1)
		go func() {
			defer d.wg.Done()
			d.open(f, lane, req)
		}()
	case sched.Cancel:
		if f := d.fetches[a.Req]; f != nil {
			delete(d.fetches, a.Req)
			f.stop()
		}
	case sched.Wake:
		if f := d.fetches[a.Req]; f != nil {
			f.resume()
		}
	}
}

func (f *fetch) resume() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *fetch) stop() {
	if f.cancel != nil {
		f.cancel()
	}
	f.resume()
}

// failLocked ends the download with err once readers have used up what is stored.
func (d *Download) failLocked(err error) {
	if d.err == nil {
		d.err = err
		d.engine.Log.Debug("download failed", "id", d.id, "err", err)
	}
	for _, r := range d.readers {
		r.signal()
	}
}

// faultsLocked lists the last fault of each source for the error message.
func (d *Download) faultsLocked() (s string) {
	for _, o := range d.sources {
		if o.last != "" {
			s += "; " + o.Kind() + " " + o.Name() + ": " + o.last
		}
	}
	return s
}

// leave removes a reader; the last one ends the download and waits for its
// goroutines.
func (d *Download) leave(r *Reader) {
	d.mu.Lock()
	for i, o := range d.readers {
		if o == r {
			d.readers = append(d.readers[:i], d.readers[i+1:]...)
			break
		}
	}
	d.stalled = max(d.stalled, r.stallLocked())
	d.plan.Leave(r.id)
	d.engine.crowd.leave(d, clientOf(r.ctx))
	d.sweepLocked()
	d.served = d.served || r.pos == r.end
	if len(d.readers) > 0 && r.owner { // slices carry the credentials of a client that is still there
		heir := d.readers[0]
		heir.owner = true
		d.url = heir.req.WithContext(d.ctx)
	}
	last := len(d.readers) == 0 && !d.closed && !d.lingerLocked()
	d.closed = d.closed || last
	d.mu.Unlock()
	if last {
		d.end()
	}
	d.nudge()
}

// ownerLocked names the client whose request the slices repeat.
func (d *Download) ownerLocked() string {
	for _, r := range d.readers {
		if r.owner {
			return clientOf(r.ctx).Name
		}
	}
	return ""
}

// end stops everything, waits for it, and leaves the final figures behind.
func (d *Download) end() {
	d.engine.forget(d)
	d.cancel()
	d.mu.Lock()
	for _, f := range d.fetches {
		f.stop()
	}
	d.mu.Unlock()
	d.wg.Wait()
	if d.keeper != nil {
		d.keeper.Close()
	}
	d.mu.Lock()
	d.dropLanesLocked()
	d.store.Close()
	d.done = time.Now()
	d.mu.Unlock()
	d.engine.finished(d)
	close(d.over)
}
