package e2e

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/need"
	"dtpx/internal/testbed/netns"
)

// page is what curl got: the text, then the status on a line of its own.
func (n *node) fetch(args ...string) (text, status string) {
	n.t.Helper()
	need.Program(n.t, "curl")
	r := n.shell(`curl -sS -w "\n%{http_code}" "$@"`, args...).ok(n.t)
	return strings.TrimSuffix(r.out[:len(r.out)-3], "\n"), r.out[len(r.out)-3:]
}

func (n *node) wants(status string, text []string, args ...string) {
	n.t.Helper()
	got, code := n.fetch(args...)
	if code != status {
		n.t.Errorf("%s: status %s, want %s: %s", args, code, status, got)
	}
	for _, w := range text {
		if !strings.Contains(got, w) {
			n.t.Errorf("%s: the page lacks %q: %s", args, w, got)
		}
	}
}

// An origin whose certificate is bad gets a page that says how, never a tunnel
// and never a body.
func TestBadOriginCertificates(t *testing.T) {
	t.Parallel()
	ca, err := testbed.NewCA()
	must(t, err)
	for kind, want := range map[testbed.CertKind]string{
		testbed.CertExpired: "expired on", testbed.CertNotYet: "not valid before", testbed.CertWrongHost: "for another host: it names other.invalid",
		testbed.CertSelfSigned: "self-signed", testbed.CertUnknownRoot: "unknown authority",
	} {
		t.Run(string(kind), func(t *testing.T) {
			o := origin(t, testbed.Config{CA: ca, Cert: kind})
			b := newBox(t)
			n := b.serve("-config", b.config(o))
			url := o.HTTPS + "/" + size + "/secret"
			n.wants("502", []string{want, "dtpx"}, url)
			b.dtpx("get", url).complains(t, 1, want)
			b.dtpx("get", "-direct", "-config", b.path("proxy.yaml"), url).complains(t, 1, "certificate")
			if es := o.Log().Entries(); len(es) != 0 {
				t.Errorf("the origin was asked all the same: %+v", es)
			}
		})
	}
}

func TestOriginThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	o := origin(t, testbed.Config{})
	b := newBox(t)
	n := b.serve("-config", b.config(o))
	down := freeAddr(t)
	for _, scheme := range []string{"http", "https"} {
		n.wants("502", []string{"connection refused"}, scheme+"://"+down+"/")
	}
	for _, base := range []string{o.HTTP, o.HTTPS} {
		n.wants("502", []string{"closed the connection before it answered"}, base+"/1MiB/x?fault=drop")
	}
	n.wants("502", []string{"not valid HTTP"}, "--http1.1", o.HTTP+"/1MiB/x?fault=bad-length")
	n.wants("502", []string{"does not speak TLS"}, strings.Replace(o.HTTP, "http:", "https:", 1)+"/")
	n.wants("200", nil, "-o", "/dev/null", o.HTTPS+"/1MiB/x") // and still serves
}

// Slices that are answered wrongly are thrown away, and the file is right.
func TestMalformedSlices(t *testing.T) {
	t.Parallel()
	o := origin(t, testbed.Config{Limits: testbed.Limits{PerConn: 4 << 20}})
	b := newBox(t)
	n := b.serve("-config", b.config(o))
	for i, fault := range malformed {
		url := testbed.URL(o.HTTP, fmt.Sprintf("/6MiB/%d", i), "fault="+fault+",at=last,times=1", "fault="+fault+",at=middle,times=1")
		n.shell(`curl -sS --fail -o got "$1"`, url).ok(t)
		same(t, b.path("got"), o, url)
		if !slices.ContainsFunc(o.Log().For(fmt.Sprintf("/%d?", i)), func(e testbed.Entry) bool { return e.Fault != "" }) {
			t.Errorf("%s did not happen", fault)
		}
	}
}

var malformed = []string{
	"bad-content-range", "bad-content-range,value=bytes 5-4/3", "bad-content-range,value=bytes 0-99999999999999999999/*",
	"no-content-range", "wrong-total", "wrong-range", "bad-length", "short-206", "long-206",
}

// Where a part of the file is never answered rightly, the client gets the bytes
// before it and knows that this is not all.
func TestRangeThatNobodyHas(t *testing.T) {
	t.Parallel()
	o := slowOrigin(t)
	b := newBox(t)
	n := b.serve("-config", b.config(o))
	url := testbed.URL(o.HTTP, "/6MiB/hole", "fault=bad-content-range,at=middle")
	if r := n.shell(`curl -sS --fail -o got "$1"`, url); r.code == 0 {
		same(t, b.path("got"), o, url)
	} else if got := sizeOf(b.path("got")); r.code != 18 || got >= 6<<20 {
		t.Errorf("exit status %d after %d bytes: %s", r.code, got, r.err)
	}
	got, err := os.Open(b.path("got"))
	must(t, err)
	defer got.Close()
	must(t, o.Content(url).VerifyRange(got, 0, sizeOf(b.path("got"))))
}

// Without DNS, and with one that knows nobody: a page says so.
func TestDNSFailure(t *testing.T) {
	lab := netns.ForTest(t)
	t.Parallel()
	m, err := lab.Machine("dns")
	must(t, err)
	b := newBox(t)
	b.wrap = []string{"ip", "netns", "exec", m.Name(), "sh", "-ec", `mount --bind "$0" /etc/resolv.conf; exec "$@"`,
		b.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")}
	n := b.serve()
	for _, url := range []string{"http://no-such-host.test/", "https://no-such-host.test/"} {
		n.wants("502", []string{"DNS failure", "no-such-host.test"}, url)
	}
	var nobody net.PacketConn
	must(t, m.Do(func() error {
		nobody, err = net.ListenPacket("udp", "127.0.0.1:53")
		return err
	}))
	t.Cleanup(func() { nobody.Close() })
	go answerNXDOMAIN(nobody)
	n.wants("502", []string{"DNS failure: there is no host no-such-host.test"}, "https://no-such-host.test/")
}

// answerNXDOMAIN returns when c is closed.
func answerNXDOMAIN(c net.PacketConn) {
	buf := make([]byte, 512)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		if n < 12 {
			continue
		}
		buf[2] |= 0x80 // an answer
		buf[3] = 3     // no such name
		_, _ = c.WriteTo(buf[:n], from)
	}
}

// A client that does not trust the CA works by a later try, and what it sees then
// is the origin's own certificate.
func TestFailsOpen(t *testing.T) {
	t.Parallel()
	o := origin(t, testbed.Config{})
	b := newBox(t)
	n := b.serve("-config", b.config(o))
	url := o.HTTPS + "/1MiB/open"
	fetch := func() result {
		return n.shell(`curl -sS --cacert origin-ca.pem -o got "$1"`, url)
	}
	if r := fetch(); r.code != 60 && r.code != 35 {
		t.Fatalf("was not intercepted at first: exit status %d: %s", r.code, r.err)
	}
	eventually(t, "curl works", func() bool { return fetch().code == 0 })
	same(t, b.path("got"), o, url)
	if r := b.dtpx("status").ok(t); !strings.Contains(r.out, "not intercepted: 127.0.0.1 for 127.0.0.1") {
		t.Errorf("status does not tell: %s", r.out)
	}
	n.wants("200", nil, "-o", "/dev/null", "-A", "another program", url) // is intercepted as ever
	if tries := len(o.Log().For("open")); tries != 2 {
		t.Errorf("the origin got %d requests", tries)
	}
}

// Who tried first and pasted the lines to type later need not wait for a day.
func TestTrustComesLater(t *testing.T) {
	t.Parallel()
	o := origin(t, testbed.Config{})
	b := newBox(t)
	config := b.config(o)
	n := b.serve("-config", config)
	url := o.HTTPS + "/1MiB/later"
	eventually(t, "curl without the CA is passed through", func() bool {
		return n.shell(`curl -sS --cacert origin-ca.pem -o got "$1"`, url).code == 0
	})
	trusting := func() result { return n.shell(`curl -sS -o got "$1"`, url) }
	if r := trusting(); r.code != 60 {
		t.Errorf("is intercepted by itself: %d %s", r.code, r.err)
	}
	if r := b.dtpx("status").ok(t); !strings.Contains(r.out, "dtpx ca retry") {
		t.Errorf("status does not say what to do: %s", r.out)
	}
	b.dtpx("ca", "retry", "elsewhere.test").complains(t, 1, "elsewhere.test", "dtpx status")
	if r := b.dtpx("ca", "retry", "127.0.0.1").ok(t); !strings.Contains(r.out, "1") {
		t.Errorf("retry says: %s", r.out)
	}
	trusting().ok(t)
	same(t, b.path("got"), o, url)
	b.dtpx("ca", "retry").complains(t, 1, "nothing")
	n.stop()
	b.dtpx("ca", "retry").complains(t, 1, "no node is running")
	n = b.serve("-config", config)
	trusting().ok(t)
}
