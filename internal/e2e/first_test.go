package e2e

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"time"
)

// A first start says within a second what to do, and leaves what the contract
// names.
func TestFirstStart(t *testing.T) {
	best := time.Hour
	var n *node
	for range 3 { // the machine may be busy with other tests
		n = newBox(t).serve()
		best = min(best, time.Since(n.started))
	}
	if best > time.Second {
		t.Errorf("the greeting takes %v", best)
	}
	text := n.out.String()
	for _, want := range []string{
		"listens on " + n.addr, "made a certificate authority for this machine: " + n.state("ca.pem"),
		"export http_proxy=http://" + n.addr + " https_proxy=http://" + n.addr, "http://" + n.addr + "/proxy.pac",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the greeting lacks %q:\n%s", want, text)
		}
	}
	if n.log.String() != "" {
		t.Errorf("a first start complains: %s", n.log.String())
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, "ca.pem": 0o644, "ca-key.pem": 0o600, "token": 0o600, "node.json": 0o600} {
		if info, err := os.Stat(n.state(name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("state/%s: %v %v, want mode %o", name, info, err, mode)
		}
	}
}

func TestSecondStartKeepsTheCA(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.serve().stop()
	before, err := os.ReadFile(b.state("ca.pem"))
	must(t, err)
	n := b.serve()
	after, err := os.ReadFile(b.state("ca.pem"))
	must(t, err)
	if !bytes.Equal(before, after) || !n.out.has("certificate authority: "+b.state("ca.pem")) || n.out.has("made a") {
		t.Errorf("the CA has changed, or so says: %s", n.out.String())
	}
	if _, err := os.Stat(b.state("node.json")); err != nil {
		t.Error(err)
	}
	n.stop()
	if _, err := os.Stat(b.state("node.json")); err == nil {
		t.Error("node.json is still there although nothing runs")
	}
}

// The bundle that the lines name replaces a program's roots, so it holds the
// system's too.
func TestBundleHoldsTheSystemsRoots(t *testing.T) {
	t.Parallel()
	n := newBox(t).serve()
	data, err := os.ReadFile(n.state("bundle.pem"))
	must(t, err)
	own, err := os.ReadFile(n.state("ca.pem"))
	must(t, err)
	if !bytes.Contains(data, own) {
		t.Error("our own CA is not in the bundle")
	}
	count := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Error(err)
		}
		count++
	}
	if _, err := os.Stat("/etc/ssl/certs/ca-certificates.crt"); err == nil && count < 20 {
		t.Errorf("the bundle has %d certificates", count)
	}
}

// macOS keeps the state under "Application Support"; the lines must be right
// there too.
func TestLinesToTypeWithAnOddPath(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	n := b.serve("-state", b.path("it's a $HOME"))
	r := n.shell(`cat "$SSL_CERT_FILE" "$CURL_CA_BUNDLE" "$GIT_SSL_CAINFO" "$NODE_EXTRA_CA_CERTS" | grep -c BEGIN`).ok(t)
	if strings.TrimSpace(r.out) == "0" {
		t.Errorf("the lines name no certificates: %s", n.exports)
	}
}
