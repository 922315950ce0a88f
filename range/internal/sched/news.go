package sched

// news is what has happened since the last Step, so that it need not look at all
// sources each time: there may be hundreds, and each of their slices ends, on
// its own, with a Step. All are looked at every tickTime, and whenever something
// has changed that any of them could take up: a range that came back, a reader
// that joined or jumped, a source that failed, one that found nothing to do.
type news struct {
	all     bool
	idle    bool      // one had a free lane and found nothing for it
	sources []*source // those that have something of their own
	spare   []*source // becomes sources while those are looked at
	looked  Time      // when all were looked at
}

// lookAround makes the next Step look at all sources.
func (p *Plan) lookAround() {
	p.news.all = true
	p.rates.sum = 0
}

// touch makes the next Step look at s.
func (p *Plan) touch(s *source) {
	if !s.touched {
		s.touched = true
		p.news.sources = append(p.news.sources, s)
	}
}

// looksAround reports whether this Step is one that looks at all.
func (p *Plan) looksAround(now Time) bool {
	if !p.news.all && !p.news.idle && now-p.news.looked < tickTime {
		return false
	}
	p.news.looked = now
	return true
}

// lookAt takes the news: the sources that this Step looks at, fastest first.
func (p *Plan) lookAt(all bool) (look []*source) {
	touched := p.news.sources
	p.news.sources, p.news.spare = p.news.spare[:0], touched
	for _, s := range touched {
		s.touched = false
	}
	if all {
		p.news.all, p.news.idle = false, false
		return p.bySpeed()
	}
	if len(touched) > 1 {
		order(touched)
	}
	return touched
}
