package cluster

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dtpx/cluster/internal/group"
	"dtpx/cluster/internal/ledger"
	"dtpx/cluster/internal/relay"
)

// metrics are what n tells Prometheus, one line each.
func (n *node) metrics() []string {
	var b strings.Builder
	n.WriteMetrics(&b)
	return strings.Split(b.String(), "\n")
}

// What was lent today is still shown, and to whom, when this node has started again
// and that member has not been seen since.
func TestAccountsOutliveARestart(t *testing.T) {
	t.Parallel()
	r := newRig(t, slow)
	a := r.join(nil)
	b := r.join(func(o *Options) { o.Lend.Quota = 64 * mib })
	r.together()
	r.get(a, r.url("/8MiB/a"))
	r.get(b, r.url("/8MiB/b"))
	who := a.Info().Self.Node
	must(t, a.Close())
	b.engine.Close()
	must(t, b.Close())
	r.nodes = nil // nobody to look for
	r.start(b, func(o *Options) { o.Lend.Quota = 64 * mib })

	i := b.Info()
	if i.Self.Lent < 2*mib || i.Self.Lent != i.Self.Quota-i.Self.Left || i.Self.Borrowed < 2*mib {
		t.Errorf("%+v", i.Self)
	}
	if len(i.Members) != 1 {
		t.Fatalf("%+v", i.Members)
	}
	m := i.Members[0]
	if m.Node != who || m.State != "gone" || m.LentToday != i.Self.Lent || m.Lent != i.Self.Lent || m.BorrowedToday != i.Self.Borrowed || m.Borrowed != i.Self.Borrowed {
		t.Errorf("%+v", m)
	}
	for _, want := range []string{
		fmt.Sprintf("dtpx_lent_bytes_total{peer=%q} %d", who.Short(), m.Lent),
		fmt.Sprintf("dtpx_borrowed_bytes_total{peer=%q} %d", who.Short(), m.Borrowed),
	} {
		if !slices.Contains(b.metrics(), want) {
			t.Errorf("no %s", want)
		}
	}
}

// Keys can be minted: the lists stay short, and the sums whole.
func TestAccountsOfMany(t *testing.T) {
	t.Parallel()
	var days atomic.Int64
	n := newRig(t, slow).join(func(o *Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(days.Load()) * 24 * time.Hour) }
	})
	const each, many = 1000, accountsMax * 3 / 4 // a day
	for day := range 2 {
		days.Store(int64(day))
		must(t, n.ledger.Borrowed(ownKey, mib))
		for k := range many {
			loan := n.ledger.Lend(NodeID{byte(day), byte(k)}.String())
			_, err := loan.Reserve(each)
			must(t, err)
		}
	}
	i := n.Info()
	if len(i.Members) != unseenMax || i.Self.Lent != many*each || i.Self.Borrowed != 0 {
		t.Errorf("%d members, %+v", len(i.Members), i.Self)
	}
	lines, sum, others := 0, 0, 0
	for _, line := range n.metrics() {
		var bytes int
		if _, value, ok := strings.Cut(line, "} "); ok && strings.HasPrefix(line, "dtpx_lent_bytes_total{") {
			_, err := fmt.Sscan(value, &bytes)
			must(t, err)
			lines++
			sum += bytes
			if strings.Contains(line, fmt.Sprintf("peer=%q", ledger.Others)) {
				others++
			}
		}
	}
	if lines != accountsMax+1 || sum != 2*many*each || others != 1 {
		t.Errorf("metrics: %d lines, %d for others, sum %d", lines, others, sum)
	}
}

// Every series, with its type and its value.
func TestMetrics(t *testing.T) {
	t.Parallel()
	r := newRig(t, slow)
	a := r.join(nil)
	b := r.join(func(o *Options) {
		o.Lend.Quota, o.Cap = 64*mib, 99*mib
		o.Spent = func() int64 { return 12345 }
	})
	r.together()
	gone := NodeID{1}
	b.lent(a.id(), 3*mib)
	b.lent(gone, 5)
	must(t, b.ledger.Borrowed(keyOf(a.id()), 777))
	b.current().refuse(netip.MustParseAddrPort("10.0.0.9:1"), &group.Refusal{Reason: group.OtherGroup})
	b.current().refuse(netip.MustParseAddrPort("10.0.0.9:2"), &group.Refusal{Reason: group.OtherGroup})
	b.charge()
	c, err := a.through(b, r.url("/")) // reserves one step
	must(t, err)
	defer c.Close()

	var series []string
	types := map[string]string{}
	for _, line := range b.metrics() {
		if words := strings.Fields(line); len(words) == 4 && words[1] == "TYPE" {
			types[words[2]] = words[3]
		} else if line != "" && line[0] != '#' {
			series = append(series, line)
		}
	}
	peer := func(name string, id NodeID) string { return fmt.Sprintf("%s{peer=%q}", name, id.Short()) }
	for _, want := range []struct {
		kind, series string
		value        int64
	}{
		{"gauge", "dtpx_peers", 1},
		{"counter", peer("dtpx_lent_bytes_total", a.id()), 3*mib + relay.Step},
		{"counter", peer("dtpx_lent_bytes_total", gone), 5},
		{"counter", peer("dtpx_borrowed_bytes_total", a.id()), 777},
		{"counter", peer("dtpx_borrowed_bytes_total", gone), 0},
		{"gauge", "dtpx_lend_quota_left_bytes", 64*mib - 3*mib - relay.Step - 5},
		{"gauge", "dtpx_own_today_bytes", 12345},
		{"gauge", "dtpx_relay_tunnels", 1},
		{"counter", fmt.Sprintf("dtpx_peer_refused_total{reason=%q}", group.OtherGroup), 2},
	} {
		line := fmt.Sprint(want.series, " ", want.value)
		i := slices.Index(series, line)
		if name, _, _ := strings.Cut(want.series, "{"); i < 0 || types[name] != want.kind {
			t.Errorf("no %q of type %s", line, want.kind)
			continue
		}
		series = slices.Delete(series, i, i+1)
	}
	if len(series) > 0 {
		t.Errorf("unexpected %q", series)
	}
}
