package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"
)

const (
	caLife = 10 * 365 * 24 * time.Hour

	// Apple's platforms refuse TLS leaves of more than 398 days, counting
	// both ends, even below roots that the user added.
	leafLife = 397 * 24 * time.Hour

	// Clients with a slow clock (virtual machines woken up, boards without a
	// battery) refuse certificates from the future.
	backDate = 48 * time.Hour

	// A leaf this near to its end is minted again, so that no connection
	// outlives it.
	renewBefore = 30 * 24 * time.Hour
)

// sane is before any true clock that runs this program: a board that boots in
// 1970 must not mint a CA that has expired when the network sets its clock.
var sane = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

func newKey() (*ecdsa.PrivateKey, error) {
	// P-256 because every client since TLS 1.2 has it; ECDSA because an RSA
	// leaf costs 400 times as much to mint.
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// mintCA makes the certificate of key. Its name comes from the key: OpenSSL
// finds issuers by name first, so two installations on one trust store need
// two names, and a certificate minted again from the same key the same one.
func mintCA(key *ecdsa.PrivateKey, now time.Time) (*x509.Certificate, error) {
	if now.Before(sane) {
		return nil, fmt.Errorf("make CA: the clock says %s: set it and start again", now.Format(time.DateOnly))
	}
	id, err := keyID(key)
	if err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject: pkix.Name{
			// Trust store dialogues (Windows, Keychain) show O and CN.
			Organization: []string{"dtpx"},
			CommonName:   fmt.Sprintf("dtpx local CA %x", id[:4]),
		},
		NotBefore: now.Add(-backDate).UTC(),
		NotAfter:  now.Add(caLife).UTC(),
		// Go, OpenSSL and Java want CA:TRUE; path length 0 forbids CAs below
		// this one, so that a stolen leaf key signs nothing.
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            0,
		MaxPathLenZero:        true,
		// GnuTLS and NSS refuse a CA without keyCertSign.
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		// Windows, NSS, Go and OpenSSL apply a CA's EKU to what it signs: this
		// one cannot vouch for mail, code or clients.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// OpenSSL and Python (VERIFY_X509_STRICT, default since 3.13) want key
		// identifiers.
		SubjectKeyId:   id[:20],
		AuthorityKeyId: id[:20],
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	return x509.ParseCertificate(der)
}

// mintLeaf makes a certificate and key for the host (as name.go gives it).
func (a *Authority) mintLeaf(host string) (*tls.Certificate, error) {
	key, err := newKey()
	if err != nil {
		return nil, fmt.Errorf("make key for %s: %w", host, err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, fmt.Errorf("make certificate for %s: %w", host, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, a.leafTemplate(host, serial), a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("make certificate for %s: %w", host, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make certificate for %s: %w", host, err)
	}
	// The CA goes along: clients that pin or that were given the CA as an
	// intermediate (Java key stores) build the chain from what is sent.
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func (a *Authority) leafTemplate(host string, serial *big.Int) *x509.Certificate {
	notBefore := a.now().Add(-backDate).UTC()
	notAfter := notBefore.Add(leafLife - time.Second) // both ends count, RFC 5280 §4.1.2.5
	if notAfter.After(a.cert.NotAfter) {
		notAfter = a.cert.NotAfter // GnuTLS warns of a leaf that outlives its CA
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: host},
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		// For ECDSA digitalSignature alone; Schannel refuses leaves without it.
		KeyUsage: x509.KeyUsageDigitalSignature,
		// Apple and Chromium want serverAuth said in the leaf itself.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// Python's strict mode wants basicConstraints in no leaf or a valid
		// one; Firefox's cert viewer and old NSS want CA:FALSE said.
		BasicConstraintsValid: true,
	}
	if len(host) > 64 {
		// X.520 ub-common-name: OpenSSL and GnuTLS reject longer ones. Clients
		// read the SAN; the CN is only shown.
		t.Subject.CommonName = "dtpx"
	}
	// Browsers and Go read names from the SAN only; IP addresses need an IP SAN,
	// a DNS SAN of digits matches nowhere.
	if ip, err := netip.ParseAddr(host); err == nil {
		t.IPAddresses = []net.IP{ip.AsSlice()}
	} else {
		t.DNSNames = []string{host}
	}
	return t
}

// newSerial gives 127 random bits: positive, not zero, at most 20 octets
// (RFC 5280 §4.1.2.2). Firefox refuses two certificates of one issuer with
// one serial (SEC_ERROR_REUSED_ISSUER_AND_SERIAL).
func newSerial() (*big.Int, error) {
	limit := new(big.Int).Lsh(big.NewInt(1), 127)
	serial, err := rand.Int(rand.Reader, limit)
	if err != nil {
		return nil, err
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

func keyID(key *ecdsa.PrivateKey) ([sha256.Size]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	return sha256.Sum256(spki), nil
}
