package sched

// Yield gives up the request of the first source that is farthest ahead of all
// readers, and its place: a client of ours needs the connection for something
// else. The last request is never given up.
func (p *Plan) Yield(now Time) []Action {
	s := p.sources[0]
	var victim *request
	for _, q := range s.reqs {
		if q.hedge == nil && q.hedges == nil && q.ahead == nil && (victim == nil || q.pos > victim.pos) {
			victim = q
		}
	}
	if victim == nil || s.conns() < 2 {
		return nil
	}
	var acts []Action
	for _, q := range []*request{victim.behind, victim} {
		if q != nil {
			p.drop(q, now)
			acts = append(acts, Action{Kind: Cancel, Req: q.id, Source: s.id})
		}
	}
	s.closing = append(s.closing, now)
	s.refused++
	s.ceiling = s.conns()
	s.lanes = min(s.lanes, s.ceiling)
	return acts
}
