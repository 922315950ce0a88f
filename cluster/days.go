package cluster

import "dtpx/cluster/internal/ledger"

// DaySum is what a day has cost.
type DaySum struct {
	Day      string `json:"day"`
	Lent     int64  `json:"lent"`     // by this node, to all members
	Borrowed int64  `json:"borrowed"` // by this node, from all members
	Own      int64  `json:"own"`      // this node's downloads over its own link
}

// daysShown are listed at most: a month.
const daysShown = 31

// days are those with an account, today first.
func (c *Cluster) days() []DaySum {
	sums := []DaySum{}
	for _, d := range c.ledger.Days() {
		if len(sums) == daysShown {
			break
		}
		sums = append(sums, c.sum(d))
	}
	return sums
}

// sum is of whoever, seen since the start or not: the quota knows no difference.
func (c *Cluster) sum(d ledger.Day) DaySum {
	sum := DaySum{Day: string(d)}
	for key, b := range c.ledger.Day(d) {
		if key == ownKey {
			sum.Own = b.Borrowed
			continue
		}
		sum.Lent += b.Lent
		sum.Borrowed += b.Borrowed
	}
	return sum
}
