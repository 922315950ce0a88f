package group

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func member(t testing.TB, g Group, now func() time.Time, blocked func(NodeID) bool) *Member {
	t.Helper()
	m, err := NewMember(makeKeys(t, g), NewNodeKey(), now, blocked)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func leafOf(t testing.TB, m *Member) *tls.Certificate {
	t.Helper()
	c, err := m.certificate()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// outcome is what each side has after a handshake and one byte from server to
// client, which is when a TLS 1.3 client learns that it was refused.
type outcome struct {
	server, client     error
	atServer, atClient tls.ConnectionState
}

func handshake(t testing.TB, server, client *tls.Config) (o outcome) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var both sync.WaitGroup
	both.Go(func() {
		raw, err := ln.Accept()
		if err != nil {
			o.server = err
			return
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(10 * time.Second))
		conn := tls.Server(raw, server)
		if o.server = conn.Handshake(); o.server == nil {
			_, o.server = conn.Write([]byte{1})
		}
		o.atServer = conn.ConnectionState()
		io.Copy(io.Discard, raw) // a reset would eat the alert
	})
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	raw.SetDeadline(time.Now().Add(10 * time.Second))
	conn := tls.Client(raw, client)
	if o.client = conn.Handshake(); o.client == nil {
		_, o.client = io.ReadFull(conn, make([]byte, 1))
	}
	o.atClient = conn.ConnectionState()
	raw.Close()
	both.Wait()
	return o
}

func TestMembersMeet(t *testing.T) {
	g := makeGroup(t, "hostel")
	a := member(t, g, at(start), nil)
	skews := map[string]time.Duration{"same clock": 0, "two days slow": -47 * time.Hour, "two days fast": 47 * time.Hour}
	for name, skew := range skews {
		for _, kind := range Kinds() {
			b := member(t, g, at(start.Add(skew)), nil)
			for _, want := range []*NodeID{nil, new(a.ID())} {
				o := handshake(t, a.ServerConfig(), b.ClientConfig(want, kind))
				if o.server != nil || o.client != nil {
					t.Fatalf("%s, %s: %v, %v", name, kind, o.server, o.client)
				}
				atServer, err1 := PeerID(o.atServer)
				atClient, err2 := PeerID(o.atClient)
				if err1 != nil || err2 != nil || atServer != b.ID() || atClient != a.ID() {
					t.Errorf("%s: identities are wrong (%v, %v)", name, err1, err2)
				}
				if o.atServer.NegotiatedProtocol != kind || o.atServer.Version != tls.VersionTLS13 {
					t.Errorf("%s: %q over %x", name, o.atServer.NegotiatedProtocol, o.atServer.Version)
				}
			}
		}
	}
	if _, err := PeerID(tls.ConnectionState{}); err == nil {
		t.Error("a connection without a handshake has a peer")
	}
}

// A ticket would let a node in that has been blocked since, or that has not
// shown a certificate of today's secret.
func TestNothingResumes(t *testing.T) {
	g := makeGroup(t, "hostel")
	var blocked atomic.Bool
	a := member(t, g, at(start), func(NodeID) bool { return blocked.Load() })
	b := member(t, g, at(start), nil)
	server, client := a.ServerConfig(), b.ClientConfig(nil, Relay)
	client.SessionTicketsDisabled = false // a client that would like to
	client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	client.ServerName = "peer"
	for range 3 {
		if o := handshake(t, server, client); o.server != nil || o.atServer.DidResume || o.atClient.DidResume {
			t.Fatalf("resumed %v, %v", o.atServer.DidResume, o.server)
		}
	}
	blocked.Store(true)
	if o := handshake(t, server, client); Explain(o.server) == nil || Explain(o.server).Reason != Blocked {
		t.Errorf("blocked since: %v", o.server)
	}
	changed := member(t, makeGroup(t, "hostel"), at(start), nil).ServerConfig()
	if o := handshake(t, changed, client); Explain(o.client) == nil || Explain(o.client).Reason != OtherGroup {
		t.Errorf("the secret has changed since: %v", o.client)
	}
}

func TestLeafIsMintedAgain(t *testing.T) {
	var now atomic.Int64
	now.Store(start.Unix())
	m := member(t, makeGroup(t, "hostel"), func() time.Time { return time.Unix(now.Load(), 0) }, nil)
	for _, tt := range []struct {
		name  string
		after time.Duration
		again bool
	}{
		{"at once", 0, false},
		{"soon", mintNext - time.Second, false},
		{"half a day later", mintNext, true},
		{"after a week's sleep", 7 * 24 * time.Hour, true},
		{"the clock was set back", -24 * time.Hour, true},
	} {
		now.Store(start.Unix())
		m.leaf = nil
		first := leafOf(t, m)
		now.Store(start.Add(tt.after).Unix())
		got := leafOf(t, m)
		if (got != first) != tt.again {
			t.Errorf("%s: minted again %v", tt.name, got != first)
		}
		if _, err := m.keys.identify(got.Leaf, m.now()); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	now.Store(0)
	if _, err := m.certificate(); !says(err, "the clock says 1970-01-01: set it") {
		t.Errorf("in 1970: %v", err)
	}
}

func TestLeafIsMintedOnceForMany(t *testing.T) {
	m := member(t, makeGroup(t, "hostel"), at(start), nil)
	var all sync.WaitGroup
	leaves := make([]*tls.Certificate, 16)
	for i := range leaves {
		all.Go(func() { leaves[i], _ = m.certificate() })
	}
	all.Wait()
	for _, l := range leaves {
		if l == nil || l != leaves[0] {
			t.Fatal("leaves differ")
		}
	}
}

// Even where somebody puts the group's CA among the roots, members are no web
// servers, mail senders, or anything else.
func TestLeafIsForMembersOnly(t *testing.T) {
	m := member(t, makeGroup(t, "hostel"), at(start), nil)
	leaf := leafOf(t, m).Leaf
	for use := x509.ExtKeyUsageServerAuth; use <= x509.ExtKeyUsageMicrosoftKernelCodeSigning; use++ {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: m.keys.pool, CurrentTime: start, KeyUsages: []x509.ExtKeyUsage{use}})
		if err == nil {
			t.Errorf("usage %d is allowed", use)
		}
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) > 0 || leaf.IsCA {
		t.Error("leaf has names or is a CA")
	}
	web := &tls.Config{RootCAs: m.keys.pool, ServerName: "example.com", Time: at(start), NextProtos: []string{Relay}}
	if o := handshake(t, m.ServerConfig(), web); o.client == nil {
		t.Error("a browser accepts a member as a web server")
	}
}

func TestMemberNeedsKeys(t *testing.T) {
	if _, err := NewMember(nil, NewNodeKey(), time.Now, nil); err == nil {
		t.Error("member without a group")
	}
	if _, err := NewMember(makeKeys(t, makeGroup(t, "hostel")), NodeKey{}, time.Now, nil); err == nil {
		t.Error("member without a node key")
	}
}
