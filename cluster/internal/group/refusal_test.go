package group

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

// liar shows a certificate and believes everybody.
func liar(cert *tls.Certificate) *tls.Config {
	c := &tls.Config{
		InsecureSkipVerify: true, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{Relay}, Time: at(start),
		MinVersion: tls.VersionTLS12,
	}
	if cert != nil {
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return c
}

// signedBy makes a certificate for key with what change does to a member's.
func signedBy(t *testing.T, k *Keys, key NodeKey, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	template, err := leafTemplate(key.ID(), start)
	if err != nil {
		t.Fatal(err)
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, k.caCert, key.private().Public(), k.signer())
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key.private()}
}

// webCert is what a public CA would give.
func webCert(t *testing.T) *tls.Certificate {
	t.Helper()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Web CA"}, NotBefore: start.AddDate(-1, 0, 0), NotAfter: start.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, DNSNames: []string{"example.com"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func minted(t *testing.T, k *Keys, key NodeKey, when time.Time) *tls.Certificate {
	t.Helper()
	c, err := k.mint(key, when)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// forged is another CA that looks like the group's.
func forged(t *testing.T, k *Keys) *Keys {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ca := *k.caCert
	ca.PublicKey = private.Public() // else CreateCertificate checks
	return &Keys{ca: hide(private.Seed()), caCert: &ca}
}

// Each is refused, whether it calls or is called, with its own reason in the
// log of the node that refuses.
func TestRefusals(t *testing.T) {
	g := makeGroup(t, "hostel")
	k := makeKeys(t, g)
	key, blockedKey := NewNodeKey(), NewNodeKey()
	victim := minted(t, k, NewNodeKey(), start)
	same := func(*x509.Certificate) {}
	good := minted(t, k, key, start)
	blocked := func(id NodeID) bool { return id == blockedKey.ID() }
	for _, tt := range []struct {
		name string
		cert *tls.Certificate
		want Reason
	}{
		{"a member", good, ""},
		{"a member, made by hand", signedBy(t, k, key, same), ""},
		{"another group", minted(t, makeKeys(t, makeGroup(t, "elsewhere")), key, start), OtherGroup},
		{"same name, wrong secret", minted(t, makeKeys(t, makeGroup(t, "hostel")), key, start), OtherGroup},
		{"same secret, wrong name", minted(t, makeKeys(t, Group{Name: "hostel2", Secret: g.Secret}), key, start), OtherGroup},
		{"a CA that looks like ours", signedBy(t, forged(t, k), key, same), OtherGroup},
		{"expired", minted(t, k, key, start.Add(-leafLife-time.Minute)), Expired},
		{"from the future", minted(t, k, key, start.Add(backDate+time.Minute)), NotYetValid},
		{"another group's, expired", minted(t, makeKeys(t, makeGroup(t, "hostel")), key, start.AddDate(-1, 0, 0)), OtherGroup},
		{"copied without its key", &tls.Certificate{Certificate: victim.Certificate, PrivateKey: key.private()}, Copied},
		{"of a web CA", webCert(t), NoGroup},
		{"for web servers too", signedBy(t, k, key, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), Usage},
		{"for no use", signedBy(t, k, key, func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil }), Usage},
		{"unknown critical extension", signedBy(t, k, key, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: memberUse, Critical: true, Value: []byte{5, 0}}}
		}), Usage},
		{"in another's name", signedBy(t, k, key, func(c *x509.Certificate) { c.URIs = victim.Leaf.URIs }), Identity},
		{"in two names", signedBy(t, k, key, func(c *x509.Certificate) { c.URIs = append(c.URIs, victim.Leaf.URIs...) }), Identity},
		{"without a name", signedBy(t, k, key, func(c *x509.Certificate) { c.URIs = nil }), Identity},
		{"the CA itself", &tls.Certificate{Certificate: [][]byte{k.caCert.Raw}, PrivateKey: k.signer()}, Identity},
		{"blocked", minted(t, k, blockedKey, start), Blocked},
	} {
		us := member(t, g, at(start), blocked)
		expect(t, tt.name+" calls", handshake(t, us.ServerConfig(), liar(tt.cert)).server, tt.want)
		expect(t, tt.name+" is called", handshake(t, liar(tt.cert), us.ClientConfig(nil, Relay)).client, tt.want)
	}
}

func expect(t *testing.T, name string, err error, want Reason) {
	t.Helper()
	switch r := Explain(err); {
	case r == nil && want != "":
		t.Errorf("%s: admitted", name)
	case r != nil && r.Reason != want:
		t.Errorf("%s: %v, want %q", name, r, want)
	}
}

func TestRefusalsByProtocol(t *testing.T) {
	g := makeGroup(t, "hostel")
	a, b := member(t, g, at(start), nil), member(t, g, at(start), nil)
	with := func(change func(*tls.Config)) *tls.Config { c := liar(leafOf(t, b)); change(c); return c }
	old := with(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
	noALPN := with(func(c *tls.Config) { c.NextProtos = nil })
	web := with(func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} })
	stranger := NewNodeKey().ID()
	for _, tt := range []struct {
		name           string
		server, client *tls.Config
		atServer       Reason
		atClient       Reason
	}{
		{"no certificate", a.ServerConfig(), liar(nil), NoCertificate, RefusedByPeer},
		{"TLS 1.2 client", a.ServerConfig(), old, OldTLS, OldTLS},
		{"TLS 1.2 server", old, a.ClientConfig(nil, Relay), OldTLS, OldTLS},
		{"no ALPN in client", a.ServerConfig(), noALPN, NoProtocol, RefusedByPeer},
		{"no ALPN in server", noALPN, a.ClientConfig(nil, Relay), RefusedByPeer, NoProtocol},
		{"a browser's ALPN", a.ServerConfig(), web, NoProtocol, NoProtocol},
		{"a kind not served", a.ServerConfig(Relay), b.ClientConfig(nil, Gossip), NoProtocol, NoProtocol},
		{"another node than wanted", a.ServerConfig(), b.ClientConfig(&stranger, Relay), RefusedByPeer, WrongNode},
		{"two groups", a.ServerConfig(), member(t, makeGroup(t, "hostel"), at(start), nil).ClientConfig(nil, Relay), RefusedByPeer, OtherGroup},
		{"client is blocked", member(t, g, at(start), func(NodeID) bool { return true }).ServerConfig(), b.ClientConfig(nil, Relay), Blocked, RefusedByPeer},
	} {
		o := handshake(t, tt.server, tt.client)
		expect(t, tt.name+", server", o.server, tt.atServer)
		expect(t, tt.name+", client", o.client, tt.atClient)
	}
	late := minted(t, a.keys, b.key, start.AddDate(0, -1, 0))
	if r := Explain(handshake(t, a.ServerConfig(), liar(late)).server); r.Node != b.ID() {
		t.Errorf("who is expired: %v", r)
	}
	o := handshake(t, a.ServerConfig(), b.ClientConfig(&stranger, Relay))
	if r := Explain(o.client); r.Node != a.ID() || !says(r, "node "+a.ID().Short()+": another node") {
		t.Errorf("who answered instead: %v", r)
	}
}

// What arrives on an open port.
func TestRubbishOnThePort(t *testing.T) {
	us := member(t, makeGroup(t, "hostel"), at(start), nil)
	for _, tt := range []struct {
		name, bytes string
		want        Reason
	}{
		{"plain HTTP", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", NotTLS},
		{"nothing", "", Broken},
		{"half a record", "\x16\x03\x01\x02\x00\x01", Broken},
		{"an endless record", "\x16\x03\x01\xff\xff\x01", NotTLS},
	} {
		server, client := net.Pipe()
		go func() {
			go io.Copy(io.Discard, client)
			io.WriteString(client, tt.bytes)
			client.Close()
		}()
		expect(t, tt.name, tls.Server(server, us.ServerConfig()).Handshake(), tt.want)
		server.Close()
	}
	if Explain(nil) != nil {
		t.Error("no error is a refusal")
	}
	if r := Explain(errors.Join(errors.New("x"), &Refusal{Reason: Blocked})); r.Reason != Blocked {
		t.Errorf("wrapped: %v", r)
	}
}
