package sched

import "time"

// A request to a far source follows the one before it on the same connection
// while that one's last bytes are still coming (HTTP/1.1 pipelining), so that the
// server sends on without the pause of a round trip and the connection keeps its
// speed. One connection then does what it takes two for otherwise; see pair.

// following reports that requests of s follow one another. A source that is alone
// asks for all at once instead, if its connections do not add up; see soleLane.
func (p *Plan) following(s *source) bool {
	return s.info.Follows && !p.oneByOne && s.rtt >= distantAfter && len(p.sources) > 1
}

// follow puts q behind the request of its source that ends next, if one does.
func (p *Plan) follow(q *request, now Time) *request {
	if q == nil || !p.following(q.src) {
		return q
	}
	if o := p.front(q.src, now); o != nil && o != q {
		q.ahead, q.followed, o.behind = o, true, q
	} else {
		q.probe = q.src.probing()
	}
	return q
}

// followSize is the size of a slice that follows another one, where n would be
// that of any: at rate, with share of what all sources bring.
func (p *Plan) followSize(s *source, n, rate, share float64, now Time) float64 {
	window := share * float64(p.p.Window) * p.windowPart(s)
	if o := p.front(s, now); o != nil {
		tail := p.tailOf(s, now)
		n = max(n, min(rate*tail.Seconds(), share*float64(p.free.Size()), window)) // the next one must not come too late
		if due := p.endsIn(p.sumRate(now)) - p.eta(o, now); due < 2*tail {
			n = rate * due.Seconds() // the last one, which ends with those of the others
		}
	}
	if s.fresh < 8*p.p.Trial { // in slow start twice as much comes as has come
		n = max(n, min(2*float64(s.fresh), 4*n, window))
	}
	return n
}

// front is the request of s in its last moments that ends first and that none
// follows yet.
func (p *Plan) front(s *source, now Time) (front *request) {
	if !p.following(s) {
		return nil
	}
	for _, q := range s.reqs {
		if q.leads() && p.ending(q, now) && (front == nil || p.eta(q, now) < p.eta(front, now)) {
			front = q
		}
	}
	return front
}

// leads reports that another request may follow q: its answer will end by itself.
func (q *request) leads() bool {
	if q.probe && (q.src.probing() || q.src.trial.undone) {
		return false
	}
	return q.behind == nil && !q.passed && !q.cut && !q.adopted && q.hedge == nil && q.hedges == nil
}

// probing reports that s is finding out whether more connections bring more.
// On those that are new no request follows another one until that is known: at
// work all the time they would take their part of the link from the one that
// fills it, and what is left in the end would need ten seconds to grow again.
func (s *source) probing() bool {
	return s.trial.on && s.trial.slow && !s.trial.settled && !s.trial.undone
}

// whole reports that q is slice 0 of a far source whose requests follow one
// another: all the rest was asked for, and it goes on until it comes to what
// others have been given.
func (p *Plan) whole(q *request) bool { return q.adopted && p.following(q.src) }

// runsOut reports that slice 0 will come to that so soon that the connection on
// which requests follow one another from then on has to be made. Not before:
// beside one that fills the link it would lose packets while it gathers speed,
// and then gather it slowly.
func (p *Plan) runsOut(q *request, now Time) bool {
	if !p.whole(q) || !q.head {
		return false
	}
	reach := p.free.From(q.end).End - q.pos
	return time.Duration(float64(reach)/p.rateOf(q, now)*float64(time.Second)) < 3*q.src.rtt+p.p.Tail/2
}

// gathers reports that q is slice 0 from far away and still gathers speed, for all
// that is known: what it has brought so far says little of what it will.
func (p *Plan) gathers(q *request, now Time) bool {
	return p.whole(q) && q.src.rtt >= distantAfter/2 && now-q.began < 16*q.src.rtt && q.silence(now) < p.softAfter(q)
}

// succeeds reports that the next request of s makes the connection that takes
// over from slice 0. A large slice would let it overshoot in slow start.
func (p *Plan) succeeds(s *source, now Time) bool {
	return len(s.reqs) == 1 && p.runsOut(s.reqs[0], now)
}

// crawls reports that q has fallen far behind front on the same link: it is not
// worth waiting for.
func (p *Plan) crawls(q, front *request, now Time) bool {
	return front != nil && q != front && q.head && p.rateOf(q, now) < p.rateOf(front, now)/2
}

// tooBusy reports that s has a connection at work on which what is urgent will
// follow sooner than one that is yet to be made could bring it: beside the first
// that fills the link it would crawl.
func (p *Plan) tooBusy(s *source, now Time) bool {
	return p.following(s) && len(s.reqs) > 0 && !p.silent(s, now) && p.front(s, now) == nil
}

// slowed reports that o as a whole has brought next to nothing, measured by s, for
// longer than a connection takes to gather speed again after a loss.
func (p *Plan) slowed(o, s *source, now Time) bool {
	return o.fresh >= 8*p.p.Trial && o.recent.over(4, now) < s.best/8
}

// release lets the request that follows q have its turn: only from now on can
// it be answered.
func (p *Plan) release(q *request, now Time) {
	if o := q.behind; o != nil {
		q.behind, o.ahead = nil, nil
		o.heard, o.mark = now, now
	}
	if o := q.ahead; o != nil {
		q.ahead, o.behind = nil, nil
	}
}

// Unfollow notes that a request has a connection of its own after all.
func (p *Plan) Unfollow(id ID, now Time) {
	if q := p.request(id); q != nil && q.ahead != nil {
		q.ahead.behind, q.ahead, q.followed = nil, nil, false
		q.began, q.heard, q.mark = now, now, now
	}
}

// NoFollowing notes that the host does not answer requests that follow others.
func (p *Plan) NoFollowing() { p.oneByOne = true }

// conns is how many connections the requests of s have.
func (s *source) conns() (n int) {
	for _, q := range s.reqs {
		if q.ahead == nil {
			n++
		}
	}
	return n
}
