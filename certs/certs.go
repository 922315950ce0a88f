// Package certs is the local certificate authority with which dtpx reads
// https for its own user: one per installation, kept in two files.
//
//	ca-key.pem  0600  the key, written and synced first, never handed out
//	ca.pem      0644  the certificate that people trust
//
// Leaves are minted in memory, once per host, each with a key of its own, and
// minted again before they expire.
//
// A CA that somebody already trusts is never overwritten: files that cannot be
// used are an error that says what to do. A key without a certificate is what a
// crash on the first start leaves (or a person who wants a fresh certificate);
// the certificate is then minted from that key.
package certs

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"slices"
	"strings"
	"time"
)

// Authority is a CA with its cache of leaves. It is safe for concurrent use.
type Authority struct {
	key  *ecdsa.PrivateKey // write-once, as all but leaves
	cert *x509.Certificate
	now  func() time.Time

	// tickets encrypts session tickets for all configurations alike, so that
	// a client that comes back resumes whatever CONNECT host its connection
	// has. crypto/tls rotates its keys daily.
	tickets *tls.Config
	leaves  leafCache
}

// DER returns the CA certificate in DER.
func (a *Authority) DER() []byte { return slices.Clone(a.cert.Raw) }

// PEM returns the CA certificate as a PEM file.
func (a *Authority) PEM() []byte { return certPEM(a.cert.Raw) }

// Certificate returns the CA certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// Fingerprint is the SHA-256 of the certificate as browsers and openssl print
// it: AB:CD:….
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = strings.ToUpper(hex.EncodeToString([]byte{b}))
	}
	return strings.Join(pairs, ":")
}

// ServerConfig is how connections to connectHost are intercepted: a leaf for
// the name the client asks for (SNI), else for the host it asked to be
// connected to.
func (a *Authority) ServerConfig(connectHost string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		Time:       a.now,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.ServerName != "" {
				return a.Leaf(hello.ServerName)
			}
			return a.Leaf(connectHost)
		},
		WrapSession: func(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
			return a.tickets.EncryptTicket(state, session)
		},
		UnwrapSession: func(ticket []byte, state tls.ConnectionState) (*tls.SessionState, error) {
			return a.tickets.DecryptTicket(ticket, state)
		},
	}
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
