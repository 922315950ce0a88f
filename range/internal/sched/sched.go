// Package sched decides which source fetches which bytes of one download, and
// when. It is a BitTorrent client's mind over HTTP ranges, made for readers
// that want the bytes in order:
//
//	on every event (head verified, bytes came, request ended, reader moved, 50 ms passed):
//	    note what it says about the rate and health of its source
//	    stalled requests give their range back, softly at first, then for good
//	    requests that stand at the end of their range go on, wait, or are cut
//	    every source with a free lane gets, in this order:
//	        a hedge of the byte a reader is blocked on, if its owner is silent
//	        a part of a late head
//	        the missing range nearest to a reader, inside the reader's window
//	        a part of the request that would end last
//
// A Plan is a plain value driven by its caller: no goroutine, no clock, no
// I/O, no lock. Time is the duration since the download began. The caller
// performs the Actions that Step returns and reports what came of them.
//
// Ownership of a range is only a plan. Bytes are accepted by what is still
// missing (Plan.Got), never by who was supposed to bring them, so a cut, a
// hedge or a theft can waste bytes but never duplicate, lose or misplace one.
package sched

import (
	"slices"
	"time"

	"dtpx/range/internal/span"
)

// Time is the duration since the download began.
type Time = time.Duration

// Params are the constants of the schedule. Sizes are bytes.
type Params struct {
	Window      int64 // how far beyond a reader bytes are fetched
	Ahead       int64 // how far slice 0 reads beyond the reader while it is alone
	MinSlice    int64 // a request costs about a round trip: below this it does not pay
	MaxSlice    int64
	Trial       int64         // first request of a source whose rate is unknown
	Drain       int64         // a rest this small is read to the end so that the connection lives on
	SliceTime   time.Duration // slices are sized in time at the source's own rate
	MinTime     time.Duration // … but those just ahead of the reader are shorter
	Soft        time.Duration // silence after which others may take over; TCP's RTO makes gaps of 0.35 s without failure
	Hard        time.Duration // silence after which the request is given up
	Tail        time.Duration // the next request leaves this long before the running one ends
	HeadLate    time.Duration // a head segment that needs longer than this is split
	HedgeBudget int64         // bytes that hedges may cost in all
	Strikes     int           // failures of a source without a byte between before it is out
	Starve      time.Duration // a reader without a byte of anybody for so long: each failure counts as the last
	Alone       float64       // bytes/s beyond which a single source is never helped
	MinGain     time.Duration // helpers do not start if slice 0 alone needs less than this
	HelperDelay time.Duration // helpers start this long after slice 0's head
	Shown       bool          // a player shows bytes as they come: no waiting for a crawling connection
	// Jitter returns a number in [0,1) that spreads retries; nil means 0.5.
	Jitter func() float64
}

// Default returns the constants for a resource of size bytes and a window.
func Default(size, window int64) Params {
	return Params{
		Window: window, Ahead: min(window, 2<<20), MinSlice: 64 << 10, MaxSlice: 16 << 20, Trial: 256 << 10, Drain: 64 << 10,
		SliceTime: time.Second, MinTime: 250 * time.Millisecond,
		Soft: 400 * time.Millisecond, Hard: 2500 * time.Millisecond,
		Tail: 150 * time.Millisecond, HeadLate: 1200 * time.Millisecond,
		HedgeBudget: max(size/100, 256<<10), Strikes: 7, Starve: 2 * time.Minute,
		Alone: 250e6, MinGain: time.Second, HelperDelay: 30 * time.Millisecond,
	}
}

// ID names a request; SourceID a source; ReaderID a reader. All count from 1.
type (
	ID       int
	SourceID int
	ReaderID int
)

// Action is something the caller has to do.
type Action struct {
	Kind   ActionKind
	Req    ID
	Source SourceID
	Range  span.Range // of Open
	Behind ID         // of Open: ask on the connection of this one, whose answer is being read; see Unfollow
	Reused bool       // of Open: false asks for a connection of its own at once
}

// ActionKind says what an Action wants.
type ActionKind int

const (
	Open   ActionKind = iota // ask Source for Range
	Cancel                   // abandon Req; its Ended need not be reported
	Wake                     // Req stood waiting in Want and may go on
)

// Cause says why a request ended.
type Cause int

const (
	Done      Cause = iota // its range is complete or it was cut by plan
	Reset                  // connection broke, body was short, 5xx other than 503
	Overload               // 429, 503, or a connection refused while others live
	Forbidden              // 401, 403, 404, 410: this source may not ask again
	Again                  // may be asked again at once
	Away                   // no way to the source for now, which says nothing about the host
	Out                    // the source says that it is out of this download
	Mismatch               // 200, another validator, another range: rules of one version broken
)

// SourceInfo describes a source. All fields are fixed when it is added.
type SourceInfo struct {
	Lanes   int           // upper bound of requests in flight
	Start   int           // lanes it begins with, when more than 1 is known to be good
	Ceiling int           // connections its host is known to bear; 0 = unknown
	RTT     time.Duration // round trip, 0 = unknown
	Rate    float64       // bytes/s of one lane, 0 = unknown
	Ready   Time          // not before this time
	Only    *span.Set     // what it holds, nil = everything
	Follows bool          // a request can follow another one on its connection
}

// Plan is the state of one download. Create it with New.
type Plan struct {
	p         Params
	size      int64
	have      span.Set // stored
	free      span.Set // needed by a reader, not stored, owned by no request
	readers   []*reader
	sources   []*source
	order     []*source // the same, fastest first; see bySpeed
	news      news
	rates     rates
	reqs      []*request // open ones, oldest first
	nextReq   ID
	nextRd    ReaderID
	engaged   bool
	first     *request // slice 0 until the plan is engaged
	surplus   bool     // some source has been bound; see shed
	total     window   // all fresh bytes of the last seconds
	hedged    int64
	uplink    uplink
	alone     alone
	overdrawn bool  // see Overdrawn
	oneByOne  bool  // see NoFollowing
	known     bool  // the host is known to serve ranges and to be worth it
	proven    bool  // it has served one to this download
	renewals  int   // since one brought more than its beginning; see renew
	beside    int64 // see lasted
	broke     bool  // a request has failed
	headAt    Time
	heard     Time // when the newest byte came
	wake      Time // when Step wanted to be called; 0 = only when something happens
	awake     Time // from when on rates are measured again; see overslept
}

type reader struct {
	id       ReaderID
	pos, end int64
	bias     int64 // added to its distance: 0 for a client, more for prefetch
	waiting  bool
	since    Time
}

// New returns the plan of a resource of size bytes. known says that earlier
// downloads showed the host to serve ranges, so helpers need not wait.
func New(p Params, size int64, known bool) *Plan {
	if p.Jitter == nil {
		p.Jitter = func() float64 { return 0.5 }
	}
	return &Plan{p: p, size: size, known: known}
}

// AddSource makes a source known. It gets work from the next Step on.
func (p *Plan) AddSource(i SourceInfo) SourceID {
	s := &source{info: i, id: SourceID(len(p.sources) + 1), lanes: 1, rtt: i.RTT}
	s.meter.rate = i.Rate
	if i.Start > 1 {
		s.lanes = min(i.Start, i.Lanes)
	}
	if i.Ceiling > 0 {
		s.ceiling = i.Ceiling
		s.lanes = min(s.lanes, i.Ceiling)
	}
	s.ready = i.Ready
	p.sources = append(p.sources, s)
	p.lookAround()
	return s.id
}

// Adopt enters a response that is already open and verified: slice 0, or the
// response to another client's own request. It owns what is free from
// r.Start on, the whole rest of it as long as the plan is not engaged.
func (p *Plan) Adopt(src SourceID, r span.Range, rtt time.Duration, now Time) ID {
	s := p.source(src)
	if rtt > 0 {
		s.rtt = rtt
	}
	q := p.newRequest(s, r, now)
	q.adopted = true
	q.opened(now)
	q.firstFree(p)
	if len(p.reqs) == 1 && !p.engaged {
		p.first, p.headAt = q, now
	} else {
		p.engaged = true
		q.end = q.pos + min(q.end-q.pos, p.sliceFor(s, q.pos, now))
	}
	p.free.Remove(span.Range{Start: q.pos, End: q.end})
	return q.id
}

func (q *request) firstFree(p *Plan) {
	run := p.free.From(q.pos)
	q.end = max(q.pos, min(q.wire.End, run.End))
}

// Join adds a reader of r. bias > 0 ranks it behind readers of less.
func (p *Plan) Join(r span.Range, bias int64, now Time) ReaderID {
	p.nextRd++
	p.readers = append(p.readers, &reader{id: p.nextRd, pos: r.Start, end: r.End, bias: bias, since: now})
	if p.first != nil && len(p.readers) > 1 && bias == 0 { // slice 0 alone cannot serve two places
		p.split0(now)
	}
	p.refree()
	p.lookAround()
	return p.nextRd
}

// Leave removes a reader. Bytes that no one else wants are no longer fetched.
func (p *Plan) Leave(id ReaderID) {
	for i, r := range p.readers {
		if r.id == id {
			p.readers = append(p.readers[:i], p.readers[i+1:]...)
			break
		}
	}
	for _, q := range p.reqs {
		q.end = q.pos + p.wantedOf(span.Range{Start: q.pos, End: q.end})
	}
	p.refree()
}

// wantedOf is how much of r lies before the last byte of it that a reader needs.
func (p *Plan) wantedOf(r span.Range) (n int64) {
	for _, rd := range p.readers {
		if need := r.Intersect(span.Range{Start: rd.pos, End: rd.end}); !need.Empty() {
			n = max(n, need.End-r.Start)
		}
	}
	return n
}

// refree computes free anew: what readers need, less what is had or owned.
func (p *Plan) refree() {
	var free span.Set
	for _, r := range p.readers {
		for _, gap := range p.have.Missing(span.Range{Start: r.pos, End: r.end}) {
			free.Add(gap)
		}
	}
	for _, q := range p.reqs {
		free.Remove(span.Range{Start: q.pos, End: q.end})
	}
	p.free = free
	p.lookAround()
}

// Preload enters bytes that the caller's store held before the download.
func (p *Plan) Preload(r span.Range) {
	p.have.Add(r)
	p.free.Remove(r)
}

// Have is the run of stored bytes that begins at off.
func (p *Plan) Have(off int64) span.Range { return p.have.From(off) }

// Stored are the runs of stored bytes.
func (p *Plan) Stored() []span.Range { return p.have.Ranges() }

// Held is the number of stored bytes.
func (p *Plan) Held() int64 { return p.have.Size() }

// Unwanted is what of r is outside every reader's [pos, pos+window) and so need
// not be held any longer.
func (p *Plan) Unwanted(r span.Range) []span.Range {
	var wanted span.Set
	for _, rd := range p.readers {
		wanted.Add(span.Range{Start: rd.pos, End: min(rd.end, rd.pos+p.windowOf(rd))}.Intersect(r))
	}
	return wanted.Missing(r)
}

// SetWindow changes the window, when memory gets short or plenty.
func (p *Plan) SetWindow(n int64) { p.p.Window = n }

// windowOf is the reader's own share of the window. Below a slice nothing
// would ever be worth a request.
func (p *Plan) windowOf(r *reader) int64 {
	n := int64(0)
	for _, o := range p.readers {
		if o.bias == 0 {
			n++
		}
	}
	return max(p.p.Window/max(1, n), p.p.MinSlice)
}

// Complete reports whether every reader has all it needs stored.
func (p *Plan) Complete() bool {
	for _, r := range p.readers {
		if !p.have.Has(span.Range{Start: r.pos, End: r.end}) {
			return false
		}
	}
	return true
}

// Hopeless reports that nothing is in flight and that no source is left which
// could bring the next byte of any reader.
func (p *Plan) Hopeless() bool {
	if len(p.reqs) > 0 {
		return false
	}
	for _, r := range p.readers {
		if at := p.have.From(r.pos).End; at >= r.end || p.obtainable(at) {
			return false
		}
	}
	return true
}

// Strand gives up on the readers whose next byte no source is left to bring
// and no open request can still come to. They keep what is stored for them.
func (p *Plan) Strand() (ids []ReaderID) {
	for _, r := range p.readers {
		at := p.have.From(r.pos).End
		if at >= r.end || p.obtainable(at) {
			continue
		}
		if !slices.ContainsFunc(p.reqs, func(q *request) bool { return !q.cut && q.pos <= at && at < q.wire.End }) {
			r.end = at
			ids = append(ids, r.id)
		}
	}
	if ids != nil {
		p.refree()
	}
	return ids
}

// Seekable reports whether any byte can be had at any time, so that readers
// beside the first may join: a host that serves no ranges has only slice 0.
func (p *Plan) Seekable() bool {
	return (p.known || p.proven) && slices.ContainsFunc(p.sources, func(s *source) bool { return !s.gone && s.info.Only == nil })
}

// obtainable reports that a source is left that holds the byte at off.
func (p *Plan) obtainable(off int64) bool {
	for _, s := range p.sources {
		if !s.gone && s.holds(off) {
			return true
		}
	}
	return false
}

func (p *Plan) source(id SourceID) *source { return p.sources[id-1] }

func (p *Plan) reader(id ReaderID) *reader {
	for _, r := range p.readers {
		if r.id == id {
			return r
		}
	}
	return &reader{} // a reader that has left
}

func (p *Plan) request(id ID) *request {
	i, ok := slices.BinarySearchFunc(p.reqs, id, func(q *request, id ID) int { return int(q.id - id) })
	if !ok {
		return nil
	}
	return p.reqs[i]
}
