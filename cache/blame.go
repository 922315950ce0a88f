package cache

import (
	"maps"
	"slices"
	"time"
)

// fault is that a neighbour's bytes were wrong.
type fault struct {
	name   string // for people
	points int
	at     time.Time
}

const (
	// barTime is for how long such a neighbour is not asked.
	barTime = 24 * time.Hour
	// faultsMax bounds what is known of them: keys can be minted.
	faultsMax = 1024
)

// blame names who gave wrong bytes. Where the digest may have been older than the
// content, once may have been bad luck.
func (l *lan) blame(u *unproven) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := fault{u.Name, l.wrong[u.From].points + 1, l.c.o.Now()}
	if u.Certain {
		f.points++
	}
	if l.wrong == nil {
		l.wrong = map[string]fault{}
	}
	for len(l.wrong) >= faultsMax {
		delete(l.wrong, l.oldestLocked())
	}
	l.wrong[u.From] = f
	l.worthLocked()[u.From] = worthWorst
	l.c.log.Warn("a neighbour gave bytes that are not what the origin's digest says", "neighbour", u.Name, "dropped", f.points > 1)
}

// lateTime is for how long a neighbour is not asked that has let somebody wait in vain:
// it may sleep, or want to slow down whoever has a look at it first.
const lateTime = 30 * time.Second

// late notes that n has done so.
func (l *lan) late(n Neighbour) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lately == nil || len(l.lately) >= faultsMax {
		l.lately = map[string]time.Time{}
	}
	l.lately[n.ID] = l.c.o.Now()
	l.c.log.Debug("a neighbour lets us wait", "neighbour", n.Name)
}

func (l *lan) restsLocked(id string) bool {
	at, ok := l.lately[id]
	return ok && l.c.o.Now().Sub(at) < lateTime
}

func (l *lan) oldestLocked() (id string) {
	for k, f := range l.wrong {
		if id == "" || f.at.Before(l.wrong[id].at) {
			id = k
		}
	}
	return id
}

func (l *lan) barredLocked(id string) bool {
	f := l.wrong[id]
	return f.points > 1 && l.c.o.Now().Sub(f.at) < barTime
}

// barred are the names of the neighbours that are not asked.
func (l *lan) barred() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(l.wrong)) {
		if l.barredLocked(id) {
			all = append(all, l.wrong[id].name)
		}
	}
	return all
}
