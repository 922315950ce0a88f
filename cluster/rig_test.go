package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	ranges "dtpx/range"

	"dtpx/internal/testbed"
)

// patience bounds every wait; nothing comes near it unless something is broken.
const patience = 30 * time.Second

// node is a member within the test's process, on loopback.
type node struct {
	*Cluster
	t      testing.TB
	name   string
	dir    string
	log    *lines
	engine *ranges.Engine
	client *http.Client
}

// lines collects a log.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// rig is an origin and a group on loopback.
type rig struct {
	t      testing.TB
	origin *testbed.Origin
	group  Group
	nodes  []*node
}

func newRig(t testing.TB, origin testbed.Config) *rig {
	t.Helper()
	o, err := testbed.New(origin)
	must(t, err)
	t.Cleanup(func() { o.Close() })
	g, err := NewGroup("test", false)
	must(t, err)
	return &rig{t: t, origin: o, group: g}
}

// join adds a node; change may alter its options.
func (r *rig) join(change func(*Options)) *node {
	r.t.Helper()
	n := &node{t: r.t, name: fmt.Sprintf("node%d", len(r.nodes)), dir: r.t.TempDir(), log: new(lines)}
	_, err := EnterGroup(n.dir, r.group)
	must(r.t, err)
	r.start(n, change)
	r.nodes = append(r.nodes, n)
	return n
}

func (r *rig) start(n *node, change func(*Options)) {
	r.t.Helper()
	base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.origin.CA.Pool()}, DisableCompression: true}
	o := Options{
		Dir: n.dir, Name: func() string { return n.name }, Listen: "127.0.0.1:0", Interfaces: []string{"lo"},
		Borrow: true, Base: base, Log: slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Lend: Lend{Enabled: true, Connections: 32, Ports: []int{portOf(r.t, r.origin.HTTPS)}, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}
	for _, other := range r.nodes {
		o.Join = append(o.Join, other.addr())
	}
	if change != nil {
		change(&o)
	}
	var err error
	n.Cluster, err = Open(o)
	must(r.t, err)
	n.engine = &ranges.Engine{MinSize: 64 << 10, Window: 32 << 20, Connections: 1, Sources: n.Sources, Budget: n.Budget, Log: o.Log}
	n.client = &http.Client{Transport: &ranges.Transport{Base: base, Engine: n.engine}}
	r.t.Cleanup(func() {
		n.engine.Close()
		base.CloseIdleConnections()
		if err := n.Close(); err != nil {
			r.t.Errorf("close: %v", err)
		}
		if r.t.Failed() {
			r.t.Logf("%s:\n%s", n.name, n.log)
		}
	})
}

func portOf(t testing.TB, base string) (port int) {
	t.Helper()
	_, err := fmt.Sscanf(base[strings.LastIndex(base, ":"):], ":%d", &port)
	must(t, err)
	return port
}

func (n *node) addr() string {
	n.t.Helper()
	i := n.Info()
	if i.Self == nil || len(i.Self.Addresses) == 0 {
		n.t.Fatalf("%s listens nowhere: %s", n.name, i.Trouble)
	}
	return i.Self.Addresses[0].String()
}

// together waits until all know all.
func (r *rig) together() {
	r.t.Helper()
	for _, n := range r.nodes {
		n.sees(len(r.nodes) - 1)
	}
}

func (n *node) sees(others int) {
	n.t.Helper()
	eventually(n.t, fmt.Sprintf("%s sees %d others", n.name, others), func() bool {
		_, here := n.Here()
		return here == others
	})
}

// get downloads url and checks the bytes.
func (r *rig) get(n *node, url string) ranges.Info {
	r.t.Helper()
	return r.getAnd(n, url, -1, nil)
}

// getAnd calls f when so many bytes have come.
func (r *rig) getAnd(n *node, url string, bytes int64, f func()) ranges.Info {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	must(r.t, err)
	resp, err := n.client.Do(req)
	must(r.t, err)
	defer resp.Body.Close()
	var body io.Reader = resp.Body
	if bytes >= 0 {
		body = io.MultiReader(io.LimitReader(resp.Body, bytes), call(f), resp.Body)
	}
	if err := r.origin.Content(url).Verify(body); err != nil {
		r.t.Errorf("%s: %v", url, err)
	}
	resp.Body.Close()
	for _, d := range n.engine.Downloads() {
		if d.ID == resp.Header.Get(ranges.DownloadField) {
			return d
		}
	}
	return ranges.Info{}
}

// call is a reader that calls itself once, at its place among others.
type call func()

func (c call) Read([]byte) (int, error) {
	c()
	return 0, io.EOF
}

func (r *rig) url(path string, options ...string) string {
	return testbed.URL(r.origin.HTTPS, path, options...)
}

// brought is what a kind of source brought.
func brought(i ranges.Info, kind string) (n int64) {
	for _, s := range i.Sources {
		if s.Kind == kind {
			n += s.Bytes
		}
	}
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls what has no way to tell us.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// discard reads c to its end.
func discard(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
