// Command sim plays the scheduler against simulated sources with a fake clock
// and prints how far from the ideal it was, so that an idea can be tried in a
// minute:
//
//	go run ./range/internal/sim            # all scenarios, all windows
//	go run ./range/internal/sim -run pause # those whose name contains "pause"
//
// The model is a fluid one: a source has a rate that may change with time and
// is shared by its requests, a round trip before the first byte of each, and
// faults. What a cut request still had in flight counts as wasted.
package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"dtpx/range/internal/sched"
	"dtpx/range/internal/span"
)

const (
	mb = 1e6
	dt = 5 * time.Millisecond
)

// link is a simulated source.
type link struct {
	rate    func(t time.Duration) float64 // bytes/s of the whole link, or of each connection
	perConn bool
	conns   int // refuses more with 503; 0 = no limit
	lanes   int // lanes the plan may use; 0 = 1
	rtt     time.Duration
	uplink  int                        // links with the same one share its rate; 0 = one of its own
	trips   int                        // of tcp: round trips that a new connection costs
	dial    bool                       // a new connection costs two more round trips (TCP, TLS)
	dead    func(t time.Duration) bool // connections break and are refused
	tcp     bool                       // connections gather speed, and lose it when idle; implies dial
	quota   int64                      // bytes after which connections end and there are no more; 0 = no bound
}

// scenario is one experiment.
type scenario struct {
	name  string
	size  int64
	links func(rng *rand.Rand) []link
	known bool
}

// result is what the reader saw.
type result struct {
	took, ideal time.Duration
	stall       time.Duration // longest time without a byte after the first
	stalled     time.Duration // all time in which the reader waited longer than 100 ms
	wasted      int64
	failed      bool
	refused     int
	requests    int
	parked      string // the links that are, at the end
	lanes       int    // of the first link at the end
	ceiling     int
}

func (r result) over() float64          { return r.took.Seconds() / r.ideal.Seconds() }
func (r result) dup(size int64) float64 { return float64(r.wasted) / float64(size) }

type flow struct {
	id     sched.ID
	src    int
	wire   span.Range
	pos    int64
	headAt time.Duration
	head   bool
	credit float64
	conn   *conn // where the link has TCP
	ahead  *flow // whose answer comes before on that
	ends   bool  // that is not used again
}

type world struct {
	plan   *sched.Plan
	links  []link
	flows  []*flow
	now    time.Duration
	res    result
	reader sched.ReaderID
	pos    int64
	size   int64
	last   time.Duration
	rng    *rand.Rand
	conns  map[int]int // most connections a link has had at once: warm ones
	spent  map[int]int64
	idle   map[int][]*conn
	reads  func() // how the reader takes bytes
}

// run plays s with a window; limit bounds the simulated time.
func run(s scenario, windowSize int64, seed uint64) result {
	rng := rand.New(rand.NewPCG(seed, 7))
	w := &world{links: s.links(rng), size: s.size, rng: rng, conns: map[int]int{0: 1}, spent: map[int]int64{}, idle: map[int][]*conn{}}
	p := sched.Default(s.size, windowSize)
	p.Jitter = rng.Float64
	w.plan = sched.New(p, s.size, s.known)
	w.begin()
	w.reads = w.read
	for w.pos < s.size && !w.res.failed {
		w.step()
		if w.now > 20*time.Minute {
			w.res.failed = true
		}
	}
	w.res.took = w.now
	for i := range w.links {
		if w.plan.Stats(sched.SourceID(i+1), w.now).Parked {
			w.res.parked += fmt.Sprint(" ", i+1)
		}
	}
	w.res.ideal = w.idealTime()
	end := w.plan.Stats(1, w.now)
	w.res.lanes, w.res.ceiling = end.Lanes, end.Ceiling
	return w.res
}

// begin enters the links, the reader and slice 0.
func (w *world) begin() {
	w.reader = w.plan.Join(span.Range{Start: 0, End: w.size}, 0, 0)
	for _, l := range w.links {
		w.plan.AddSource(sched.SourceInfo{Lanes: max(1, l.lanes), RTT: l.rtt, Follows: l.tcp})
	}
	first := &flow{src: 0, wire: span.Range{Start: 0, End: w.size}, head: true}
	if w.links[0].tcp {
		w.take(first)
	}
	first.id = w.plan.Adopt(1, first.wire, w.links[0].rtt, 0)
	w.flows = append(w.flows, first)
}

// idealTime is when all links together could have brought the resource.
func (w *world) idealTime() time.Duration {
	sum := 0.0
	left := map[int]float64{}
	for i, l := range w.links {
		left[i] = math.Inf(1)
		if l.quota > 0 {
			left[i] = float64(l.quota)
		}
	}
	for t := time.Duration(0); ; t += dt {
		for i, l := range w.links {
			if slices.ContainsFunc(w.links[:i], func(o link) bool { return l.uplink != 0 && o.uplink == l.uplink }) {
				continue // counted with that one
			}
			if l.dead == nil || !l.dead(t) {
				n := 1
				if l.perConn {
					n = max(1, l.lanes)
					if l.conns > 0 {
						n = min(n, l.conns)
					}
				}
				bytes := min(left[i], l.rate(t)*float64(n)*dt.Seconds())
				left[i] -= bytes
				sum += bytes
			}
		}
		if sum >= float64(w.size) {
			return t
		}
	}
}

func (w *world) step() {
	w.now += dt
	for i := range w.links {
		w.deliver(i)
	}
	w.reads()
	acts, _ := w.plan.Step(w.now)
	for _, a := range acts {
		w.do(a)
	}
	if w.plan.Hopeless() {
		w.res.failed = true
	}
}

// trace, when set, is told every action.
var trace func(w *world, what string)

func (w *world) do(a sched.Action) {
	if trace != nil {
		trace(w, fmt.Sprintf("%+v | %s", a, w.plan))
	}
	switch a.Kind {
	case sched.Open:
		w.res.requests++
		f := &flow{id: a.Req, src: int(a.Source) - 1, wire: a.Range, pos: a.Range.Start}
		l := w.links[f.src]
		f.headAt = w.now + max(l.rtt, dt)
		if l.tcp {
			if f.ahead = w.flow(a.Behind); f.ahead != nil {
				f.conn = f.ahead.conn
			} else if w.take(f) {
				f.headAt += time.Duration(l.trips) * l.rtt
			}
		} else if open := w.open(f.src); l.dial && open >= w.conns[f.src] {
			f.headAt += 2 * l.rtt
			w.conns[f.src] = open + 1
		}
		w.flows = append(w.flows, f)
	case sched.Cancel:
		for _, f := range w.flows {
			if f.id == a.Req {
				w.remove(f, true)
				return
			}
		}
	}
}

// flow is that of a request, nil if it has ended.
func (w *world) flow(id sched.ID) *flow {
	if i := slices.IndexFunc(w.flows, func(f *flow) bool { return f.id == id }); i >= 0 {
		return w.flows[i]
	}
	return nil
}

// passOn gives the connection of f to the flow that follows it, or makes that one
// ask anew if it was cut.
func (w *world) passOn(f *flow, cut bool) (passed bool) {
	for _, o := range w.flows {
		if o.ahead != f {
			continue
		}
		if o.ahead = nil; cut {
			o.conn = &conn{cwnd: initialWindow, used: w.now}
			o.headAt = w.now + time.Duration(w.links[f.src].trips+1)*w.links[f.src].rtt
		}
		return true
	}
	return false
}

func (w *world) remove(f *flow, cut bool) {
	if f.ahead != nil {
		f.ahead.ends = true
	}
	f.ends = w.passOn(f, f.pos < f.wire.End) || f.ends
	for i, o := range w.flows {
		if o == f {
			w.flows = append(w.flows[:i:i], w.flows[i+1:]...)
			break
		}
	}
	if l := w.links[f.src]; cut && f.head {
		share := l.rate(w.now) / float64(max(1, w.active(f.src)+1))
		w.res.wasted += min(int64(share*l.rtt.Seconds()), f.wire.End-f.pos)
	}
}

func (w *world) open(i int) (n int) {
	for _, f := range w.flows {
		if f.src == i {
			n++
		}
	}
	return n
}

func (w *world) active(i int) (n int) {
	for _, f := range w.flows {
		if f.src == i && f.head && w.plan.Want(f.id, w.now) > 0 {
			n++
		}
	}
	return n
}

// read takes what is there; the reader is infinitely fast.
func (w *world) read() {
	have := w.plan.Have(w.pos)
	if have.Len() == 0 {
		w.plan.Waiting(w.reader, true, w.now)
		if gap := w.now - w.last; gap > 100*time.Millisecond && w.pos > 0 {
			w.res.stalled += dt
			w.res.stall = max(w.res.stall, gap)
		}
		return
	}
	w.plan.Waiting(w.reader, false, w.now)
	w.pos = have.End
	w.last = w.now
	w.plan.Read(w.reader, w.pos, w.now)
}
