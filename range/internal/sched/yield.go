package sched

// Yield gives up the request of the first source that is farthest ahead of all
// readers, and its place: a client of ours needs the connection for something
// else. The last request is never given up.
func (p *Plan) Yield(now Time) []Action {
	s := p.sources[0]
	var victim *request
	for _, q := range s.reqs {
		if q.hedge == nil && q.hedges == nil && (victim == nil || q.pos > victim.pos) {
			victim = q
		}
	}
	if victim == nil || len(s.reqs) < 2 {
		return nil
	}
	p.drop(victim)
	s.closing = append(s.closing, now)
	s.refused++
	s.ceiling = len(s.reqs)
	s.lanes = min(s.lanes, s.ceiling)
	return []Action{{Kind: Cancel, Req: victim.id, Source: s.id}}
}
