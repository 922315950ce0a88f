package sched

import (
	"slices"
	"time"

	"dtpx/range/internal/span"
)

// source is what the plan knows about one source.
type source struct {
	info      SourceInfo
	id        SourceID
	reqs      []*request    // open ones
	lanes     int           // requests it should have in flight
	most      int           // bound of them from outside, 0 = none; see SetLanes
	wish      int           // lanes that it had before it was bound
	cramped   bool          // it has been bound
	surplus   bool          // it has just been bound to less than it has in flight
	ceiling   int           // connections its host bears, once that is known
	rtt       time.Duration // until an answer begins
	path      time.Duration // the same without its server's part; 0 = unknown
	meter     meter         // of one lane
	recent    window
	speed     int     // KiB/s, when it was last put in order
	touched   bool    // it is among the news
	paired    bool    // see pair
	freed     float64 // bytes/s of the request that ended last
	best      float64 // of any of its requests over binTime
	top       float64 // best rate of a while; fades
	sustained float64 // the same, without the first binTime of each, which may be a burst
	ready     Time    // benched until then
	strikes   int     // failures in a row
	good      int64   // bytes since the last one
	heads     int     // responses verified
	refused   int
	peak      int // most requests it answered at a time
	gone      bool
	began     Time // of its first byte; 0 = none yet
	parked    bool // for good, unless the first source fails: see uplink
	aside     bool // for a moment, to see
	judged    bool
	doubt     doubt  // about that
	closing   []Time // when connections were closed in mid-body: the far side may still count them
	wrong     int    // mismatches in all
	lies      int    // mismatches since proof
	proof     int64  // bytes of verified slices since the last mismatch
	trial     experiment
	bound     bool  // there is a budget
	grant     int64 // with one: bytes it may bring in all
	// of the statistics
	fresh, wasted int64
	requests      int
}

// request is one open range request. [pos,end) is what it owns, wire what the
// far side was asked for; wire.End > end means that it can simply go on.
type request struct {
	id       ID
	src      *source
	wire     span.Range
	pos, end int64
	began    Time
	head     bool
	heard    Time // last byte, or the head
	waiting  bool // for the window; not silent
	adopted  bool // slice 0: shows nothing about how ranges are served
	hedge    *request
	hedges   *request // the request this one hedges
	cut      bool
	carried  int64 // bytes it read through although they were stored
	meter    meter
	mark     Time     // up to when its busy time is counted
	ranOn    int64    // bytes of what others own that it was let read until they spoke
	unread   float64  // bytes that have come while nobody listened; see overslept
	ahead    *request // whose answer comes first on the same connection
	behind   *request // that follows on the same connection
	followed bool     // there was one ahead: its round trip is not known
	probe    bool     // on a connection that may not pay; see probing
	passed   bool     // the one behind has been answered: its connection is not free
}

func (q *request) opened(now Time) {
	q.head, q.heard, q.mark = true, now, now
	q.src.heads++
}

func (q *request) rest() int64 { return max(0, q.end-q.pos) }

// silence is how long nothing has come although something should.
func (q *request) silence(now Time) time.Duration {
	switch {
	case q.waiting:
		return 0
	case q.ahead != nil:
		return q.ahead.silence(now)
	}
	return now - q.heard
}

// holds reports whether s can bring the byte at off.
func (s *source) holds(off int64) bool {
	return s.info.Only == nil || s.info.Only.Has(span.Range{Start: off, End: off + 1})
}

// softAfter is the silence after which others may help q. What is known as the round
// trip may be a server that thinks for long, which says nothing about a silence later.
func (p *Plan) softAfter(q *request) time.Duration {
	rtt, most := q.src.rtt, max(softMost, 2*q.src.rtt)
	if !q.head {
		return max(p.p.Soft, min(4*rtt+p.p.Soft/2, most*3/2))
	}
	if q.src.path > 0 {
		rtt = min(rtt, q.src.path)
	}
	n := time.Duration(3)
	if p.following(q.src) { // a loss in slow start: what comes behind it is here, but not to be had
		n = 5
	}
	return max(p.p.Soft, min(n*rtt, most))
}

const softMost = time.Second

// laneRate is the source's rate for one lane in bytes/s, or a guess.
func (p *Plan) laneRate(s *source) float64 {
	if r := s.meter.now(); r > 0 {
		return r
	}
	sum, n := 0.0, 0
	for _, o := range p.sources {
		if r := o.meter.now(); r > 0 {
			sum, n = sum+r, n+1
		}
	}
	if n == 0 {
		return 1 << 20
	}
	return sum / float64(n)
}

// rateOf is what q is expected to bring per second from now on.
func (p *Plan) rateOf(q *request, now Time) float64 {
	r := p.laneRate(q.src)
	if q.meter.bins > 0 {
		r = min(q.meter.rate, 2*q.meter.last) // a sudden fall counts at once, a rise slowly
	}
	if busy := now - q.mark; q.head && !q.waiting && busy > binTime { // the running bin is nearly empty
		r = min(r, max(1, float64(q.meter.bytes)/(q.meter.busy+busy).Seconds()))
	}
	over := q.silence(now) - p.softAfter(q)
	for ; over > 0 && r > 1; over -= 100 * time.Millisecond {
		r /= 2 // silent: believe in it less and less
	}
	return max(r, 1)
}

// eta is when q will have brought all it owns, as a duration from now.
func (p *Plan) eta(q *request, now Time) time.Duration {
	d := time.Duration(float64(q.rest()) / p.rateOf(q, now) * float64(time.Second))
	switch {
	case q.ahead != nil:
		d += p.eta(q.ahead, now)
	case !q.head:
		d += max(0, q.src.rtt-(now-q.began))
	}
	return d
}

// sumRate is the expected rate of all sources that are at work.
func (p *Plan) sumRate(now Time) float64 {
	if p.rates.sum > 0 && now-p.rates.at < Time(len(p.sources))*rateAge {
		return p.rates.sum
	}
	p.rates = rates{max(p.addRates(now), 1), now}
	return p.rates.sum
}

// rateAge, for each source, is for how long the sum of their rates holds. It is
// asked for with each slice; with many sources one slice more or less changes it
// little, and so adding up costs the same however many there are.
const rateAge = 100 * time.Microsecond

// rates is what sumRate has found a moment ago.
type rates struct {
	sum float64
	at  Time
}

func (p *Plan) addRates(now Time) (sum float64) {
	for _, s := range p.sources {
		if p.able(s, now) {
			sum += p.laneRate(s) * float64(max(1, min(s.lanes, s.limit())))
		}
	}
	return sum
}

func (s *source) limit() int {
	n := s.info.Lanes
	if s.ceiling > 0 {
		n = min(n, s.ceiling)
	}
	if s.most > 0 {
		n = min(n, s.most)
	}
	return n
}

func (s *source) usable(now Time) bool {
	return !s.gone && !s.held() && now >= s.ready
}

// held reports that s gets nothing because of the uplink it may share.
func (s *source) held() bool { return s.parked || s.aside }

// linger is how long a connection that we closed in mid-body may still be
// counted by the far side.
func (s *source) linger() time.Duration { return max(100*time.Millisecond, 2*s.rtt) }

func (s *source) lingering(now Time) int {
	for len(s.closing) > 0 && now-s.closing[0] > s.linger() {
		s.closing = s.closing[1:]
	}
	return len(s.closing)
}

// worthless reports that s is so slow that even the smallest slice would be
// late: such a source only makes requests that others have to take over.
func (p *Plan) worthless(s *source, now Time) bool {
	r := s.meter.now()
	return r > 0 && r < float64(p.p.MinSlice)/(2*p.p.SliceTime.Seconds()) && r < p.sumRate(now)/50
}

// capacity reports whether s may open another request. One in its last
// moments does not count: the next should be on its way by then.
func (p *Plan) capacity(s *source, now Time) bool {
	if !p.able(s, now) || p.worthless(s, now) {
		return false
	}
	open, busy := len(s.reqs), 0
	front := p.front(s, now)
	for _, q := range s.reqs {
		if !p.ending(q, now) && !p.distant(q, now) && !p.runsOut(q, now) && !p.crawls(q, front, now) {
			busy++
		}
	}
	return busy < s.lanes && (front != nil || open < 2*s.lanes && s.conns()+s.lingering(now) < s.limit2())
}

// limit2 bounds connections: those of the lanes plus one for each that is
// about to end, unless the host is known to refuse more.
func (s *source) limit2() int {
	if s.ceiling > 0 {
		return s.ceiling
	}
	if s.info.Lanes == 1 {
		return 2
	}
	return s.info.Lanes
}

// ending reports that q will be done within a moment and will not go on.
func (p *Plan) ending(q *request, now Time) bool {
	if !q.head || q.wire.End != q.end || q.waiting {
		return false
	}
	// After a loss all that has come since then shows at once.
	gap := p.following(q.src) && 2*q.silence(now) > 3*q.src.rtt
	return gap || p.eta(q, now) <= p.tailOf(q.src, now)
}

// tailOf is how long before the end of a request of s the next one leaves: a
// round trip, and two more where it needs a connection that is yet to be made.
// The two of them share the link for as long as that is early, and the newer
// one fills its queue: what the older one still lacks is late then, or lost and
// has to be sent again, while the reader waits for it. So it is little where a
// connection is ready, unless the window is too short for anyone to start late.
func (p *Plan) tailOf(s *source, now Time) time.Duration {
	switch {
	case p.following(s):
		if s.fresh < 8*p.p.Trial { // its connection gathers speed
			return 6*s.rtt + p.p.Tail
		}
		return 3*s.rtt + p.p.Tail // what the link's queue holds comes on top of the round trip
	case s.peak > 1 && float64(p.p.Window) >= 1.5*p.total.lately(now):
		return s.rtt + p.p.Tail*4/15
	case s.peak > 1 || s.rtt < distantAfter:
		return s.rtt + p.p.Tail
	}
	return s.rtt + p.p.Tail + min(2*s.rtt, p.p.SliceTime/2)
}

// distantAfter is longer than a connection takes to be made nearby.
const distantAfter = 40 * time.Millisecond

// distant reports that q is the first request of a source that takes its time to
// answer. The second connection is made meanwhile: by the time that it is
// needed, which is soon after a trial, it would take as long.
func (p *Plan) distant(q *request, now Time) bool {
	s := q.src
	return s.info.Lanes == 1 && !s.info.Follows && s.heads == 0 && len(s.reqs) == 1 && s.strikes == 0 && q.hedges == nil && now-q.began >= distantAfter && now-q.began < p.softAfter(q)
}

// bench keeps a source that failed away for 0.5 s · 2^k, at most 30 s.
func (p *Plan) bench(s *source, retryAfter time.Duration, now Time) {
	s.strikes++
	s.good = 0
	limit := 30 * time.Second
	dead := p.allDead(now)
	if s == p.sources[0] && !dead && (p.othersUsable(s, now) || p.renewals > 0) { // the own line comes back, or the network
		s.strikes, limit = min(s.strikes, p.p.Strikes-1), 5*time.Second
	}
	if s.strikes >= p.p.Strikes || dead {
		s.gone = true
		return
	}
	d := min(500*time.Millisecond<<(s.strikes-1), limit)
	d = time.Duration(float64(d) * (0.75 + p.p.Jitter()/2))
	s.ready = now + d
	s.heed(retryAfter, now)
}

// allDead reports that a reader has waited for so long that all lines must be dead: each
// failure is the last then. What is open may go on, silent as it is: nobody has said that
// it has failed.
func (p *Plan) allDead(now Time) bool {
	return slices.ContainsFunc(p.readers, func(r *reader) bool {
		return r.waiting && now-max(r.since, p.heard) > p.p.Starve
	})
}

// away keeps a source off that cannot be reached: for as long as it says, or
// longer from time to time, but not for good while others bring something. It may be
// starting anew.
func (p *Plan) away(s *source, after time.Duration, now Time) {
	if p.allDead(now) {
		s.gone = true
		return
	}
	if after <= 0 {
		s.strikes++
		s.good = 0
		after = min(500*time.Millisecond<<min(s.strikes-1, 4), 5*time.Second)
		after = time.Duration(float64(after) * (0.75 + p.p.Jitter()/2))
	}
	s.ready = max(s.ready, now+after)
}

// heed keeps s away for as long as it asked for (RFC 9110 §10.2.3), but not
// for ever: clients give up as well.
func (s *source) heed(retryAfter time.Duration, now Time) {
	s.ready = max(s.ready, now+min(retryAfter, 30*time.Second))
}
