package group

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"time"
)

const (
	// Members' clocks may differ by two days either way. A leaf's life guards
	// little, since who has the key and the secret mints the next one; a
	// certificate taken from a backup is useless soon.
	backDate = 48 * time.Hour
	leafLife = 72 * time.Hour // from now on
	mintNext = 12 * time.Hour // the age at which the next is minted
)

// memberUse is the extended key usage of members: no web client knows it, and
// a certificate with it alone is good for nothing else (RFC 5280 §4.2.1.12).
// The arc 2.25 is free for all; the number is "dtpx".
var memberUse = asn1.ObjectIdentifier{2, 25, 0x64747078, 1}

// sane is before any true clock that runs this program.
var sane = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// makeCA is the same in every member: nothing in it is random, and Ed25519
// signatures are not either. It does not travel; members agree on its key and
// subject. It carries no name, because a port scan sees the issuer of leaves.
func makeCA(key ed25519.PrivateKey) (*x509.Certificate, error) {
	id := sha256.Sum256(key.Public().(ed25519.PublicKey))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "dtpx group"},
		NotBefore:    time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // no end, RFC 5280 §4.1.2.5
		KeyUsage:     x509.KeyUsageCertSign,
		// Go, OpenSSL and Windows apply a CA's EKU to what it signs: it vouches
		// for no web server even where somebody adds it to the roots.
		UnknownExtKeyUsage:    []asn1.ObjectIdentifier{memberUse},
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // members are leaves
		SubjectKeyId:          id[:20],
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// mint makes the leaf of a node key.
func (k *Keys) mint(key NodeKey, now time.Time) (*tls.Certificate, error) {
	if now.Before(sane) {
		return nil, fmt.Errorf("make member certificate: the clock says %s: set it", now.Format(time.DateOnly))
	}
	template, err := leafTemplate(key.ID(), now)
	if err != nil {
		return nil, fmt.Errorf("make member certificate: %w", err)
	}
	private := key.private()
	der, err := x509.CreateCertificate(rand.Reader, template, k.caCert, private.Public(), k.signer())
	if err != nil {
		return nil, fmt.Errorf("make member certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make member certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}, nil
}

func leafTemplate(id NodeID, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: "dtpx node"},
		NotBefore:    now.Add(-backDate).UTC(),
		NotAfter:     now.Add(leafLife).UTC(),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		// No serverAuth and no host name: never a web server's certificate.
		UnknownExtKeyUsage:    []asn1.ObjectIdentifier{memberUse},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{nodeURI(id)},
	}, nil
}

func nodeURI(id NodeID) *url.URL { return &url.URL{Scheme: "dtpx", Opaque: "node:" + id.String()} }

// identify verifies a leaf at the time now: signed by the group's CA, in date,
// for members' use, and for the node whose key it holds. It does not prove
// that the peer has the key; the handshake does.
func (k *Keys) identify(leaf *x509.Certificate, now time.Time) (NodeID, error) {
	id, err := idOf(leaf.PublicKey)
	if err != nil {
		return NodeID{}, &Refusal{Reason: Identity, Err: err}
	}
	if err := k.signed(leaf, id, now); err != nil {
		return NodeID{}, err
	}
	if !slices.ContainsFunc(leaf.UnknownExtKeyUsage, memberUse.Equal) || len(leaf.ExtKeyUsage) > 0 {
		return NodeID{}, &Refusal{Reason: Usage, Node: id}
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != nodeURI(id).String() {
		return NodeID{}, &Refusal{Reason: Identity, Node: id}
	}
	return id, nil
}

// signed is the plain x509 check of the chain and the dates. id is for the log.
func (k *Keys) signed(leaf *x509.Certificate, id NodeID, now time.Time) error {
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: k.pool, CurrentTime: now,
		// Go knows no way to ask for a usage of one's own: identify does.
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	switch {
	case err == nil:
		return nil
	case leaf.CheckSignatureFrom(k.caCert) == nil:
		return &Refusal{Reason: inDate(leaf, now), Node: id, Err: err}
	case slices.ContainsFunc(leaf.UnknownExtKeyUsage, memberUse.Equal):
		return &Refusal{Reason: OtherGroup, Err: err}
	}
	return &Refusal{Reason: NoGroup, Err: err}
}

func inDate(leaf *x509.Certificate, now time.Time) Reason {
	switch {
	case now.After(leaf.NotAfter):
		return Expired
	case now.Before(leaf.NotBefore):
		return NotYetValid
	}
	return Usage // a critical extension, say
}
