package sched

import (
	"slices"
	"time"
)

// lateTime is by how much Step is called late when the program has not run. A busy
// machine is often a little late.
const lateTime = 150 * time.Millisecond

// overslept excuses the open requests for a time in which nobody listened to them:
// the machine slept, or others had its processor. What they have brought meanwhile is
// about to be read, faster than it came: it says nothing about their rates. The first
// to read may come before Step.
func (p *Plan) overslept(now Time) {
	late := now - p.wake
	if p.wake == 0 || late < lateTime {
		return
	}
	for _, q := range p.reqs {
		q.heard, q.mark = min(now, q.heard+late), now
		if !q.head {
			q.began = min(now, q.began+late)
		} else if !q.waiting {
			q.unread += p.laneRate(q.src) * late.Seconds()
		}
	}
	p.wake, p.awake = now, now+binTime
}

// giveUpSilent ends requests that have been silent for too long, if somebody
// else can take their range: the last living one is never abandoned.
func (p *Plan) giveUpSilent(acts []Action, now Time) []Action {
	least := min(p.p.Hard, p.p.Soft*5/4) // nothing is given up before
	if !slices.ContainsFunc(p.reqs, func(q *request) bool { return q.silence(now) >= least }) {
		return acts
	}
	for _, q := range slices.Clone(p.reqs) {
		limit := p.p.Hard
		if !q.head {
			limit = max(limit, 6*q.src.rtt)
		}
		if q.hedges != nil { // the next one should try
			limit = p.softAfter(q) * 5 / 4
		}
		if q.silence(now) < limit {
			continue
		}
		// Only what has nothing to lose may always go: a hedge, whose owner is
		// still there, and one that lost its range to a hedge or a thief. They
		// may have failed since, and this one holds the only lane.
		idle, replaceable := q.rest() == 0 && q.hedge == nil, p.replaceable(q, now)
		if q.hedges == nil && !idle && !replaceable {
			continue
		}
		acts = append(acts, Action{Kind: Cancel, Req: q.id})
		p.beside, p.broke = 0, true
		p.drop(q, now)
		q.src.closing = append(q.src.closing, now)
		if idle && !replaceable {
			continue
		}
		if q.head {
			p.failed(q.src, 0, now)
		} else if q.src.verified() == 0 || !p.shrink(q.src) { // no answer at all: as good as a refusal
			p.bench(q.src, 0, now)
		}
	}
	return acts
}

// renew gives up all requests where each of them has been silent for so long that
// their connections may be dead, as after a change of the network: new ones will
// tell. Where they are as silent it is done more and more rarely, as a server that
// pauses must be let go on.
func (p *Plan) renew(acts []Action, now Time) []Action {
	limit := 2 * p.p.Hard << min(p.renewals, 3)
	if !p.engaged || len(p.reqs) == 0 || now-p.heard < limit || !p.Seekable() {
		return acts
	}
	for _, q := range p.reqs {
		if q.silence(now) < max(limit, 6*q.src.rtt) || p.replaceable(q, now) {
			return acts
		}
	}
	p.renewals++
	p.beside, p.broke = 0, true
	for _, q := range slices.Clone(p.reqs) {
		acts = append(acts, Action{Kind: Cancel, Req: q.id})
		p.drop(q, now)
	}
	return acts
}

// replaceable reports that another request is alive or another source is
// ready to take over q's range.
func (p *Plan) replaceable(q *request, now Time) bool {
	for _, o := range p.reqs {
		if o != q && o.head && o.silence(now) < p.p.Soft {
			return true
		}
	}
	for _, s := range p.sources {
		if s != q.src && p.able(s, now) && s.strikes == 0 && p.capacity(s, now) {
			return true
		}
	}
	return false
}
