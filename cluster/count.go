package cluster

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"dtpx/cluster/internal/group"
	"dtpx/cluster/internal/ledger"
)

type bytesOf = ledger.Bytes

// largest are the members of some accounts, who moved most first.
func largest(of map[string]bytesOf) []string {
	return slices.SortedFunc(maps.Keys(of), func(a, b string) int {
		x, y := of[a], of[b]
		return cmp.Or(cmp.Compare(y.Lent+y.Borrowed, x.Lent+x.Borrowed), cmp.Compare(a, b))
	})
}

// account is what a member had on all days.
type account struct {
	peer string // the beginning of its key
	bytesOf
}

// accountsMax bounds the series that are told apart.
const accountsMax = 256

// accounts are those of the members that are shown, then of those who had most; what
// the rest had stands under ledger.Others.
func accounts(shown []Peer, totals map[string]bytesOf) (all []account) {
	for _, p := range shown {
		all = append(all, account{p.Node.Short(), bytesOf{Lent: p.Lent, Borrowed: p.Borrowed}})
		delete(totals, keyOf(p.Node))
	}
	delete(totals, ownKey)
	rest := account{peer: ledger.Others}
	for _, key := range largest(totals) {
		b := totals[key]
		if id, err := group.ParseNodeID(key); err == nil && len(all) < accountsMax {
			all = append(all, account{id.Short(), b})
			continue
		}
		rest.Lent, rest.Borrowed = rest.Lent+b.Lent, rest.Borrowed+b.Borrowed
	}
	if rest.bytesOf != (bytesOf{}) {
		all = append(all, rest)
	}
	return all
}

// meter is a rate over the last seconds. The zero value is ready.
type meter struct {
	bins [meterBins]int64
	at   int64 // the bin of unix time that is being filled, in meterBin
}

const (
	meterBin  = 500 * time.Millisecond
	meterBins = 5
)

func (m *meter) turn(now time.Time) {
	bin := now.UnixNano() / int64(meterBin)
	if d := bin - m.at; d < 0 || d >= meterBins {
		m.bins = [meterBins]int64{}
	} else {
		for k := m.at + 1; k <= bin; k++ {
			m.bins[k%meterBins] = 0
		}
	}
	m.at = bin
}

func (m *meter) add(now time.Time, n int64) {
	m.turn(now)
	m.bins[m.at%meterBins] += n
}

// rate is in bytes per second, over the full bins.
func (m *meter) rate(now time.Time) float64 {
	m.turn(now)
	sum := int64(0)
	for k, n := range m.bins {
		if int64(k) != m.at%meterBins {
			sum += n
		}
	}
	return float64(sum) / (meterBin * (meterBins - 1)).Seconds()
}

// refusals counts handshakes that were refused, by reason: a flood must fill
// neither the log nor the memory.
type refusals struct{ of map[group.Reason]*refusal }

type refusal struct {
	times      int64
	last, said time.Time
	from       netip.Addr
}

// sayEvery is how often one reason is logged.
const sayEvery = 30 * time.Second

// add counts one and says whether it is to be logged, with how many there were.
func (r *refusals) add(why group.Reason, from netip.Addr, now time.Time) (say bool, times int64) {
	if r.of == nil {
		r.of = map[group.Reason]*refusal{}
	}
	x := r.of[why]
	if x == nil {
		x = &refusal{}
		r.of[why] = x
	}
	say = x.times == 0 || now.Sub(x.said) >= sayEvery || from != x.from && now.Sub(x.said) >= time.Second
	x.times++
	x.last, x.from = now, from
	if say {
		x.said = now
	}
	return say, x.times
}

func (r *refusals) list() (all []Shut) {
	for why, x := range r.of {
		all = append(all, Shut{string(why), x.times, x.last, x.from.String()})
	}
	slices.SortFunc(all, func(a, b Shut) int { return cmp.Compare(a.Reason, b.Reason) })
	return all
}
