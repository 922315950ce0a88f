package cluster

import (
	"os"
	"strings"
	"testing"

	ranges "dtpx/range"

	"dtpx/internal/testbed"
)

const mib = 1 << 20

// slow gives each connection 4 MiB/s, so that one is not enough.
var slow = testbed.Config{NoH2: true, Limits: testbed.Limits{PerConn: 4 * mib}}

func TestBorrow(t *testing.T) {
	r := newRig(t, slow)
	a := r.join(nil)
	b, c := r.join(nil), r.join(nil)
	r.together()
	d := r.get(a, r.url("/24MiB/movie"))
	if n := brought(d, ranges.KindPeer); n < 8*mib {
		t.Errorf("peers brought %d bytes: %+v", n, d)
	}
	a.charge()
	own := a.Info()
	for _, lender := range []*node{b, c} {
		i := lender.Info()
		if i.Self.Lent < 4*mib || i.Self.Lent > 20*mib {
			t.Errorf("lent %d", i.Self.Lent)
		}
	}
	if own.Self.Borrowed < 8*mib || own.Self.Lent != 0 {
		t.Errorf("%+v", own.Self)
	}
	for _, n := range r.nodes[1:] {
		if said := n.log.String(); strings.Contains(said, "movie") {
			t.Errorf("%s learnt what was fetched", n.name)
		}
	}
}

// Members of a trusted group may read and alter plain http; others may not.
func TestPlainHTTPInATrustedGroup(t *testing.T) {
	r := newRig(t, slow)
	var err error
	r.group, err = NewGroup("test", true)
	must(t, err)
	lend := func(o *Options) { o.Lend.Ports = append(o.Lend.Ports, portOf(t, r.origin.HTTP)) }
	a := r.join(lend)
	r.join(lend)
	r.together()
	if n := brought(r.get(a, testbed.URL(r.origin.HTTP, "/16MiB/a")), ranges.KindPeer); n < 4*mib {
		t.Errorf("peers brought %d bytes", n)
	}
}

// What must not go through members does not.
func TestNotThroughPeers(t *testing.T) {
	r := newRig(t, slow)
	a := r.join(func(o *Options) { o.Credentials = func(host string) bool { return host == "listed.test" } })
	r.join(nil)
	r.together()
	for name, url := range map[string]string{
		"plain http": testbed.URL(r.origin.HTTP, "/8MiB/a"),
		"small":      r.url("/32KiB/a"),
	} {
		if n := brought(r.get(a, url), ranges.KindPeer); n != 0 {
			t.Errorf("%s: %d bytes through peers", name, n)
		}
	}
	for _, x := range []struct {
		host        string
		credentials bool
		want        bool
	}{{"a.test", false, true}, {"a.test", true, false}, {"listed.test", true, true}} {
		if got := len(a.Sources(target("https://"+x.host+"/", x.credentials))) > 0; got != x.want {
			t.Errorf("%+v: %v", x, got)
		}
	}
}

func TestQuotaEndsInMidSlice(t *testing.T) {
	r := newRig(t, slow)
	a := r.join(nil)
	r.join(func(o *Options) { o.Lend.Quota = 3 * mib })
	r.join(nil)
	r.together()
	d := r.get(a, r.url("/32MiB/a"))
	if n := brought(d, ranges.KindPeer); n < 6*mib {
		t.Errorf("peers brought %d bytes", n)
	}
	b := r.nodes[1].Info().Self
	// What had come by the link and was not read when it ended counts, too.
	if b.Lent > 4*mib || b.Lent < 2*mib {
		t.Errorf("lent %d of 3 MiB, %d left", b.Lent, b.Left)
	}
}

// A new secret puts old members out at once, running transfers included.
func TestNewSecret(t *testing.T) {
	r := newRig(t, slow)
	a, b := r.join(nil), r.join(nil)
	r.together()
	addr := b.addr()
	other, err := NewGroup("test", false)
	must(t, err)
	_, err = EnterGroup(b.dir, other)
	must(t, err)
	b.Reload()
	a.sees(0)
	b.sees(0)
	if d := r.get(a, r.url("/8MiB/a")); brought(d, ranges.KindPeer) != 0 {
		t.Error("borrowed from who has left")
	}
	_, err = EnterGroup(a.dir, other)
	must(t, err)
	a.Reload()
	if known := loadPeers(a.dir); len(known) != 1 || known[0].String() != addr {
		t.Errorf("last known members: %v, want %s", known, addr)
	}
}

func TestBlock(t *testing.T) {
	r := newRig(t, slow)
	a, b := r.join(nil), r.join(nil)
	r.together()
	must(t, BlockNode(a.dir, b.Info().Self.Node, false))
	a.Reload()
	eventually(t, "blocked", func() bool { return len(a.Sources(target("https://a.test/", false))) == 0 })
	if d := r.get(b, r.url("/8MiB/a")); brought(d, ranges.KindPeer) != 0 {
		t.Error("a blocked node borrowed")
	}
	eventually(t, "said in the log", func() bool { return strings.Contains(a.log.String(), "node is blocked") })
	// Who is blocked stays on the list, or could not be let in again by name.
	id := b.Info().Self.Node
	if m := a.Info().Members; len(m) != 1 || m[0].Node != id || m[0].State != "blocked" {
		t.Errorf("%+v", m)
	}
	if _, n := a.Here(); n != 0 {
		t.Error("counts as here")
	}
	must(t, BlockNode(a.dir, id, true))
	a.Reload()
	a.sees(1)
}

func TestStranger(t *testing.T) {
	r := newRig(t, slow)
	a := r.join(nil)
	other := newRig(t, testbed.Config{})
	other.nodes = r.nodes // they are told where a is, and have another secret
	b := other.join(nil)
	// Who dials sees the other's certificate first, and is often the one that
	// refuses.
	eventually(t, "counted", func() bool { return len(a.Info().Refused)+len(b.Info().Refused) > 0 })
	if said := a.log.String() + b.log.String(); !strings.Contains(said, `msg="refused a peer"`) || !strings.Contains(said, "another secret") {
		t.Error("not said in the log")
	}
	if _, n := b.Here(); n != 0 {
		t.Error("a stranger is in")
	}
}

func TestNoGroupNothingListens(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(Options{Dir: dir, Listen: "127.0.0.1:0", Interfaces: []string{"lo"}})
	must(t, err)
	if i := c.Info(); i.Self != nil || i.Group != "" {
		t.Errorf("%+v", i)
	}
	must(t, c.Close())
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("left %v", files)
	}
}
