package proxy_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"dtpx/proxy"
)

// clock is a settable time source.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time          { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

// program is a TLS client behind CONNECT.
type program struct {
	r     *rig
	agent string
	tls   *tls.Config
}

func (r *rig) program(agent string, config *tls.Config) program {
	return program{r: r, agent: agent, tls: config}
}

// trusting the proxy's CA and the origins' alike, so that it works either way.
func trusting() *tls.Config {
	p := proxyCA.pool()
	p.AddCert(originCA.cert)
	return &tls.Config{RootCAs: p}
}

// pinned trusts the origins' CA only.
func pinned() *tls.Config { return &tls.Config{RootCAs: originCA.pool()} }

// open connects and returns who signed the certificate.
func (p program) open(host string) (*tls.Conn, string, error) {
	w := p.r.connect()
	w.send("CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\nUser-Agent: " + p.agent + "\r\n\r\n")
	w.response("CONNECT")
	config := p.tls.Clone()
	config.ServerName = host
	c := tls.Client(w.Conn, config)
	if err := c.Handshake(); err != nil {
		c.Close()
		return nil, "", err
	}
	return c, c.ConnectionState().PeerCertificates[0].Issuer.CommonName, nil
}

// get makes one request and tells who signed the certificate.
func (p program) get(host string) (string, error) {
	c, issuer, err := p.open(host)
	if err != nil {
		return "", err
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
	_, err = io.ReadAll(c)
	return issuer, err
}

// hangUp does what GnuTLS programs do that do not trust a certificate.
func (p program) hangUp(host string) {
	c, _, err := p.open(host)
	must(err)
	c.Close()
}

func learning(t *testing.T) (*rig, *clock) {
	c := &clock{t: time.Now()}
	r := newRig(t, func(s *proxy.Server) { s.Now = c.now })
	r.origin(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	return r, c
}

// eventually waits for what the proxy learns after a connection has ended.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); {
		if time.Since(begin) > patience {
			t.Fatalf("never: %s", what)
		}
	}
}

const throughUs, direct = "proxy-ca.test", "origin-ca.test"

func expect(t *testing.T, p program, host, want string) {
	t.Helper()
	if got, err := p.get(host); err != nil || got != want {
		t.Errorf("%s to %s: signed by %s, %v; want %s", p.agent, host, got, err, want)
	}
}

func TestNextTryWorksForAClientThatSaysNo(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		r, _ := learning(t)
		config := pinned()
		config.MaxVersion = version
		p := r.program("pinned", config)
		if _, err := p.get("origin.test"); err == nil {
			t.Fatal("a client that trusts only the origin was intercepted")
		}
		eventually(t, "refusal noted", func() bool { return len(r.server.Tunnelled()) == 1 })
		expect(t, p, "origin.test", direct)
		got := r.server.Tunnelled()[0]
		if got.Host != "origin.test" || got.UserAgent != "pinned" || got.Client.String() != "127.0.0.1" || got.Reason == "" || got.Shape == "" {
			t.Errorf("tunnelled: %+v", got)
		}
	}
}

func TestLearntForThatClientAndHostOnly(t *testing.T) {
	r, _ := learning(t)
	r.name("other.test:443", r.names["origin.test:443"])
	p := r.program("pinned", pinned())
	p.get("origin.test")
	eventually(t, "refusal noted", func() bool { return len(r.server.Tunnelled()) == 1 })
	expect(t, r.program("another agent", trusting()), "origin.test", throughUs)
	shape := trusting()
	shape.MaxVersion = tls.VersionTLS12
	expect(t, r.program("pinned", shape), "origin.test", throughUs)
	expect(t, r.program("pinned", trusting()), "other.test", throughUs)
	expect(t, r.program("pinned", trusting()), "origin.test", direct) // the same for all that can be seen
}

func TestTwoHangUpsAreARefusal(t *testing.T) {
	r, _ := learning(t)
	p := r.program("gnutls", trusting())
	for range 2 {
		if n := len(r.server.Tunnelled()); n != 0 {
			t.Fatalf("learnt after one")
		}
		refused := refusedCount(r)
		p.hangUp("origin.test")
		eventually(t, "hang-up noted", func() bool { return refusedCount(r) == refused+1 })
	}
	expect(t, p, "origin.test", direct)
}

func refusedCount(r *rig) (n int) {
	return metric(r, "dtpx_proxy_refused_total")
}

// garbler spoils what its reader gets, on demand: the TLS client on it answers
// with an alert.
type garbler struct {
	net.Conn
	spoilt bool
}

func (g *garbler) Read(p []byte) (int, error) {
	if g.spoilt {
		return copy(p, "\x17\x03\x03\x00\x20"+strings.Repeat("x", 32)), nil
	}
	return g.Conn.Read(p)
}

// Some clients verify when the handshake is over, and say so.
func TestAlertAfterTheHandshakeIsARefusal(t *testing.T) {
	r, _ := learning(t)
	w := r.connect()
	w.send("CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\nUser-Agent: late\r\n\r\n")
	w.response("CONNECT")
	config := trusting()
	config.ServerName = "origin.test"
	g := &garbler{Conn: w.Conn}
	c := tls.Client(g, config)
	must(c.Handshake())
	g.spoilt = true
	c.Read(make([]byte, 1))
	w.Close()
	eventually(t, "refusal noted", func() bool { return len(r.server.Tunnelled()) == 1 })
	expect(t, r.program("late", trusting()), "origin.test", direct)
}

// A browser that trusts us opens connections that it then does not use.
func TestHangUpsOfAClientThatTrustsUsAreNone(t *testing.T) {
	r, _ := learning(t)
	p := r.program("browser", trusting())
	expect(t, p, "origin.test", throughUs)
	for i := range 4 {
		p.hangUp("origin.test")
		eventually(t, "hang-up noted", func() bool { return refusedCount(r) == i+1 })
	}
	expect(t, p, "origin.test", throughUs)
}

func TestSlowHangUpIsNone(t *testing.T) {
	r, c := learning(t)
	p := r.program("idle", trusting())
	for i := range 2 {
		conn, _, err := p.open("origin.test")
		must(err)
		eventually(t, "handshake", func() bool { return metric(r, "dtpx_proxy_intercepted_total") == i+1 })
		c.advance(2 * time.Second)
		conn.Close()
	}
	expect(t, p, "origin.test", throughUs)
}

func TestPreconnectWithH2IsTrust(t *testing.T) {
	r, _ := learning(t)
	config := trusting()
	config.NextProtos = []string{"h2"}
	p := r.program("browser", config)
	for range 3 {
		c, issuer, err := p.open("origin.test")
		if err != nil || issuer != throughUs {
			t.Fatalf("%s %v", issuer, err)
		}
		io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		io.ReadFull(c, make([]byte, 9)) // its settings: the preface is read
		c.Close()
	}
	if got := r.server.Tunnelled(); len(got) != 0 {
		t.Errorf("tunnelled: %v", got)
	}
}

func TestEndOfFileInMidHandshake(t *testing.T) {
	r, _ := learning(t)
	p := r.program("node", trusting())
	half := func() {
		w := r.connect()
		w.send("CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\nUser-Agent: node\r\n\r\n")
		w.response("CONNECT")
		config := p.tls.Clone()
		config.ServerName = "origin.test"
		config.VerifyConnection = func(tls.ConnectionState) error { w.Close(); return io.EOF }
		tls.Client(w.Conn, config).Handshake()
	}
	// One that trusts us may be stopped in mid-handshake once.
	expect(t, p, "origin.test", throughUs)
	half()
	eventually(t, "refusal noted", func() bool { return refusedCount(r) == 1 })
	expect(t, p, "origin.test", throughUs)
	half()
	half()
	eventually(t, "refusals noted", func() bool { return refusedCount(r) == 3 })
	expect(t, p, "origin.test", direct)
	// One that never did is believed at once.
	r, _ = learning(t)
	p.r = r
	half()
	eventually(t, "refusal noted", func() bool { return len(r.server.Tunnelled()) == 1 })
	expect(t, p, "origin.test", direct)
}

// Chromium cancels handshakes of its own in mid-flight or right after, several at
// once while it starts, and trusts us none the less.
func TestBrowserThatGivesUpInMidHandshake(t *testing.T) {
	r, _ := learning(t)
	p := r.program("Mozilla/5.0 HeadlessChrome/156.0", trusting())
	for range 3 {
		w := r.connect()
		w.send("CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\nUser-Agent: " + p.agent + "\r\n\r\n")
		w.response("CONNECT")
		config := trusting()
		config.ServerName = "origin.test"
		config.VerifyConnection = func(tls.ConnectionState) error { w.Close(); return io.EOF }
		tls.Client(w.Conn, config).Handshake()
	}
	p.hangUp("origin.test")
	p.hangUp("origin.test")
	eventually(t, "all noted", func() bool { return refusedCount(r) == 5 })
	expect(t, p, "origin.test", throughUs)
}

func TestNotHTTPInsideTLS(t *testing.T) {
	r, _ := learning(t)
	p := r.program("chat", trusting())
	for i := range 2 {
		c, issuer, err := p.open("origin.test")
		if err != nil || issuer != throughUs {
			t.Fatalf("%s %v", issuer, err)
		}
		io.WriteString(c, "HELO\r\n\r\n")
		io.ReadAll(c)
		c.Close()
		eventually(t, "noted", func() bool { return refusedCount(r) == i+1 })
	}
	expect(t, p, "origin.test", direct)
}

func TestLearntIsForgottenAfterADay(t *testing.T) {
	r, c := learning(t)
	p := r.program("pinned", pinned())
	p.get("origin.test")
	eventually(t, "refusal noted", func() bool { return len(r.server.Tunnelled()) == 1 })
	p.tls = trusting()
	c.advance(23 * time.Hour)
	expect(t, p, "origin.test", direct)
	c.advance(2 * time.Hour)
	expect(t, p, "origin.test", throughUs)
}

func TestLearntSurvivesARestart(t *testing.T) {
	r, c := learning(t)
	p := r.program("pinned", pinned())
	p.get("origin.test")
	eventually(t, "refusal noted", func() bool { return len(r.server.Tunnelled()) == 1 })
	known := r.server.Tunnelled()
	again := newRig(t, func(s *proxy.Server) { s.Intercept.Known = known; s.Now = c.now })
	again.name("origin.test:443", r.names["origin.test:443"])
	p.r = again
	expect(t, p, "origin.test", direct)
	if n := again.server.Forget("ORIGIN.test"); n != 1 || len(again.server.Tunnelled()) != 0 {
		t.Errorf("forgot %d", n)
	}
}

func TestLearningOff(t *testing.T) {
	r := newRig(t, func(s *proxy.Server) { s.Intercept.Learn = false })
	p := r.program("pinned", pinned())
	for i := range 3 {
		p.get("origin.test")
		eventually(t, "refusal noted", func() bool { return refusedCount(r) == i+1 })
	}
	if _, err := p.get("origin.test"); err == nil || len(r.server.Tunnelled()) != 0 {
		t.Errorf("tunnelled: %v, %v", r.server.Tunnelled(), err)
	}
}
