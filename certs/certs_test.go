package certs_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dtpx/certs"

	"dtpx/internal/testbed/need"
)

var start = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// clock is a settable time source.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time          { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

func authority(t testing.TB) (*certs.Authority, *clock) {
	t.Helper()
	c := &clock{t: start}
	a, created, err := certs.LoadOrCreate(t.TempDir(), c.now, nil)
	if err != nil || !created {
		t.Fatalf("created %v, err %v", created, err)
	}
	return a, c
}

func pool(a *certs.Authority) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.Certificate())
	return p
}

func verify(t *testing.T, a *certs.Authority, leaf *x509.Certificate, host string, at time.Time) {
	t.Helper()
	_, err := leaf.Verify(x509.VerifyOptions{
		DNSName: host, Roots: pool(a), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		t.Errorf("%s: %v", host, err)
	}
}

func TestCAIsWhatStrictClientsWant(t *testing.T) {
	a, _ := authority(t)
	c := a.Certificate()
	if !c.IsCA || !c.MaxPathLenZero || c.MaxPathLen != 0 || c.KeyUsage&x509.KeyUsageCertSign == 0 {
		t.Errorf("basic constraints or key usage: %+v", c)
	}
	if len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth {
		t.Errorf("extended key usage %v", c.ExtKeyUsage)
	}
	if !c.NotBefore.Before(start.Add(-24*time.Hour)) || len(c.SubjectKeyId) == 0 {
		t.Errorf("not back-dated or no key id")
	}
	if strings.Contains(string(a.PEM()), "PRIVATE") {
		t.Error("the key got out")
	}
	if want := fmt.Sprintf("%X", sha256.Sum256(a.DER())); strings.ReplaceAll(a.Fingerprint(), ":", "") != want {
		t.Errorf("fingerprint %s, want %s", a.Fingerprint(), want)
	}
}

func TestLeafForEachSpelling(t *testing.T) {
	a, c := authority(t)
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + ".example"
	for _, tt := range []struct{ asked, checked string }{
		{"example.com", "example.com"},
		{"EXAMPLE.com.", "example.com"},
		{"a.b.example.com", "a.b.example.com"},
		{"bücher.example", "xn--bcher-kva.example"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"foo_bar.example", "foo_bar.example"},
		{"localhost", "localhost"},
		{long, long},
		{"192.0.2.7", "192.0.2.7"},
		{"[2001:db8::1]", "2001:db8::1"},
		{"::ffff:192.0.2.7", "192.0.2.7"},
		{"fe80::1%eth0", "fe80::1"},
	} {
		cert, err := a.Leaf(tt.asked)
		if err != nil {
			t.Errorf("%s: %v", tt.asked, err)
			continue
		}
		verify(t, a, cert.Leaf, tt.checked, c.now())
		if len(cert.Leaf.Subject.CommonName) > 64 {
			t.Errorf("%s: common name too long", tt.asked)
		}
		if life := cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore); life > 397*24*time.Hour {
			t.Errorf("%s: lives %v", tt.asked, life)
		}
		verify(t, a, cert.Leaf, tt.checked, c.now().Add(-24*time.Hour)) // a slow clock
	}
}

func TestLeafRefusesRubbish(t *testing.T) {
	a, _ := authority(t)
	for _, host := range []string{
		"", ".", "..", "a..b", "-a.example", "a-.example", "a b", "a/b", "*.example.com", "a\x00b", "exa\nmple",
		"999.1.1.1", "2130706433", "user@host", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 130) + "example", "\xff",
	} {
		if _, err := a.Leaf(host); err == nil {
			t.Errorf("%q got a certificate", host)
		}
	}
}

func TestLeafIsMintedOncePerHost(t *testing.T) {
	a, _ := authority(t)
	var all sync.WaitGroup
	serials := make([]string, 32)
	for i := range serials {
		all.Go(func() {
			cert, err := a.Leaf([]string{"example.com", "Example.COM."}[i%2])
			if err == nil {
				serials[i] = cert.Leaf.SerialNumber.String()
			}
		})
	}
	all.Wait()
	for _, s := range serials {
		if s == "" || s != serials[0] {
			t.Fatalf("serials differ: %v", serials)
		}
	}
	other, _ := a.Leaf("example.org")
	first, _ := a.Leaf("example.com")
	if first.PrivateKey.(*ecdsa.PrivateKey).Equal(other.PrivateKey) {
		t.Error("two hosts share a key")
	}
}

func TestLeafIsMintedAgainBeforeItExpires(t *testing.T) {
	a, c := authority(t)
	first, _ := a.Leaf("example.com")
	c.advance(300 * 24 * time.Hour)
	if again, _ := a.Leaf("example.com"); again != first {
		t.Error("minted again too early")
	}
	c.advance(80 * 24 * time.Hour)
	again, err := a.Leaf("example.com")
	if err != nil || again == first {
		t.Fatalf("not minted again (%v)", err)
	}
	verify(t, a, again.Leaf, "example.com", c.now().Add(29*24*time.Hour))
}

func TestLeafCacheIsBounded(t *testing.T) {
	a, _ := authority(t)
	first, _ := a.Leaf("first.example")
	for i := range 1100 {
		if _, err := a.Leaf(fmt.Sprintf("h%d.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	if again, _ := a.Leaf("first.example"); again == first {
		t.Error("the oldest was kept")
	}
}

// handshake runs a client against the configuration for connectHost.
func handshake(t *testing.T, a *certs.Authority, connectHost string, client *tls.Config) tls.ConnectionState {
	t.Helper()
	c, s := net.Pipe()
	server := tls.Server(s, a.ServerConfig(connectHost))
	done := make(chan error, 1)
	go func() {
		_, err := server.Write([]byte("x")) // the client reads it, and the tickets before it
		done <- err
	}()
	conn := tls.Client(c, client)
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	c.Close()
	return conn.ConnectionState()
}

func TestServerConfigPicksByNameElseByConnectHost(t *testing.T) {
	a, c := authority(t)
	st := handshake(t, a, "example.com", &tls.Config{RootCAs: pool(a), ServerName: "other.example", Time: c.now, NextProtos: []string{"h2"}})
	if st.NegotiatedProtocol != "h2" {
		t.Errorf("protocol %q", st.NegotiatedProtocol)
	}
	handshake(t, a, "192.0.2.7", &tls.Config{RootCAs: pool(a), ServerName: "192.0.2.7", Time: c.now, MaxVersion: tls.VersionTLS12})
}

func TestSessionsResumeAcrossConnections(t *testing.T) {
	a, c := authority(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := &tls.Config{RootCAs: pool(a), ServerName: "example.com", Time: c.now, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		if handshake(t, a, "example.com", client).DidResume {
			t.Error("resumed from nothing")
		}
		if !handshake(t, a, "example.com", client).DidResume {
			t.Errorf("version %x did not resume", version)
		}
	}
}

func TestOpenSSLVerifiesStrictly(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		need.Skip(t, "openssl is not installed: sh internal/all.sh installs it")
	}
	dir := t.TempDir()
	a, _, err := certs.LoadOrCreate(dir, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Leaf("example.com")
	if err != nil {
		t.Fatal(err)
	}
	leaf := filepath.Join(dir, "leaf.der")
	if err := os.WriteFile(leaf, cert.Certificate[0], 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "example.com",
		"-CAfile", filepath.Join(dir, certs.CertFile), leaf).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func FuzzLeafHost(f *testing.F) {
	for _, s := range []string{"example.com", "192.0.2.1", "[::1]", "bücher.example", "a..b", "*.x", strings.Repeat("x", 300)} {
		f.Add(s)
	}
	a, c := authority(f)
	f.Fuzz(func(t *testing.T, host string) {
		cert, err := a.Leaf(host)
		if err != nil {
			return
		}
		name := host
		if len(cert.Leaf.DNSNames) == 1 {
			name = cert.Leaf.DNSNames[0]
		} else {
			name = cert.Leaf.IPAddresses[0].String()
		}
		verify(t, a, cert.Leaf, name, c.now())
	})
}
