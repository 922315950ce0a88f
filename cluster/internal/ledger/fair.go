package ledger

import (
	"cmp"
	"slices"
)

// Allowance is what a node may still spend today, out of what. Total 0 is
// unlimited.
type Allowance struct{ Left, Total int64 }

// Fair spreads need bytes so that the smallest remaining fraction is as large as
// can be: those who have the largest fraction left pay first, down to a level
// that is the same for all who pay. The shares sum to need, or to all there is.
// Who is unlimited is at level 1 for ever: they pay all, in equal parts.
func Fair(of []Allowance, need int64) (shares []int64) {
	shares = make([]int64, len(of))
	var nodes []*node
	var endless []int
	var sum int64
	for i, a := range of {
		n := &node{left: a.Left, total: max(a.Total, a.Left), share: &shares[i]}
		switch {
		case a.Total <= 0:
			endless = append(endless, i)
		case a.Left > 0:
			nodes = append(nodes, n)
			sum += a.Left
		}
	}
	for i, at := range endless {
		parts := int64(len(endless) - i)
		shares[at] = max(0, need) / parts
		need -= shares[at]
	}
	need = min(need, sum)
	if need <= 0 || len(endless) > 0 {
		return shares
	}
	level := waterLevel(nodes, need)
	for _, n := range nodes {
		*n.share = min(n.left, max(0, n.left-int64(level*float64(n.total))))
		need -= *n.share
	}
	settle(nodes, need)
	return shares
}

type node struct {
	left, total int64
	share       *int64
}

func (n *node) fraction() float64 { return float64(n.left-*n.share) / float64(n.total) }

// waterLevel is the fraction L with Σ max(0, left − L·total) = need.
func waterLevel(nodes []*node, need int64) float64 {
	slices.SortFunc(nodes, func(a, b *node) int { return cmp.Compare(b.fraction(), a.fraction()) })
	var left, total float64
	for i, n := range nodes {
		left, total = left+float64(n.left), total+float64(n.total)
		level := (left - float64(need)) / total
		if i+1 == len(nodes) || level >= nodes[i+1].fraction() {
			return min(1, max(0, level))
		}
	}
	return 0
}

// settle gives the bytes that rounding left over, or takes those it gave twice:
// a few, one by one.
func settle(nodes []*node, over int64) {
	for ; over > 0; over-- {
		*slices.MaxFunc(nodes, byFraction).share++
	}
	for ; over < 0; over++ {
		paying := slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return *n.share == 0 })
		*slices.MinFunc(paying, byFraction).share--
	}
}

func byFraction(a, b *node) int { return cmp.Compare(a.fraction(), b.fraction()) }
