package cache

import (
	"cmp"
	"slices"
)

// What neighbours are worth is how they have answered: below 0 those who gave what they
// said they had, above 0 those who did not. It decides only who is asked first, so that
// no number of members who say that they have everything keeps the others from being
// asked. Nobody is judged by what he says of himself.
const (
	worthBest  = -8 // so much is forgiven to who was of use
	worthWorst = 64
)

// disappoints notes that n had nothing of use, though its summary or its list said so.
func (l *lan) disappoints(n Neighbour) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.worthLocked()[n.ID] = min(l.worth[n.ID]+1, worthWorst)
}

// helps notes that n gives what it has.
func (l *lan) helps(n Neighbour) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.worthLocked()[n.ID] = max(min(l.worth[n.ID], 0)-1, worthBest)
}

func (l *lan) worthLocked() map[string]int {
	if l.worth == nil || len(l.worth) >= faultsMax { // keys can be minted
		l.worth = map[string]int{}
	}
	return l.worth
}

// class is -1 for those of use, 0 for who is not known, 1 for the others.
func (l *lan) class(n Neighbour) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return cmp.Compare(l.worth[n.ID], 0)
}

// rank puts the best first.
func (l *lan) rank(all []candidate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.SortStableFunc(all, func(a, b candidate) int { return l.worth[a.ID] - l.worth[b.ID] })
}
