package testbed

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// CertKind is a good certificate or one particular way of being bad. A https
// origin also shows them by name: expired.test, wrong-host.test and so on.
type CertKind string

const (
	CertGood        CertKind = ""
	CertExpired     CertKind = "expired"
	CertNotYet      CertKind = "not-yet"
	CertWrongHost   CertKind = "wrong-host"
	CertSelfSigned  CertKind = "self-signed"
	CertUnknownRoot CertKind = "unknown-root"
)

func badCert(k CertKind) bool {
	switch k {
	case CertExpired, CertNotYet, CertWrongHost, CertSelfSigned, CertUnknownRoot:
		return true
	}
	return false
}

// CA signs the certificates of a testbed's origins. Nobody else should trust it.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	PEM  []byte // the certificate, for clients
}

// NewCA makes a CA in memory.
func NewCA() (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tmpl := template("dtpx testbed CA (never trust)")
	tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
	tmpl.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &CA{cert: cert, key: key, PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// Pool holds the CA as the only root.
func (ca *CA) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.cert)
	return p
}

// WriteFile writes the CA's certificate for curl --cacert and the like.
func (ca *CA) WriteFile(path string) error { return os.WriteFile(path, ca.PEM, 0o644) }

// Issue makes a certificate for localhost, the loopback addresses, *.test and hosts.
func (ca *CA) Issue(kind CertKind, hosts ...string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tmpl := template("testbed origin")
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	addNames(tmpl, append([]string{"localhost", "*.test", "127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"}, hosts...))
	parent, signer := ca.cert, ca.key
	switch kind {
	case CertGood:
	case CertExpired:
		tmpl.NotAfter = time.Now().Add(-time.Hour)
	case CertNotYet:
		tmpl.NotBefore = time.Now().Add(24 * time.Hour)
	case CertWrongHost:
		tmpl.DNSNames, tmpl.IPAddresses = []string{"other.invalid"}, nil
	case CertSelfSigned:
		parent, signer = tmpl, key
	case CertUnknownRoot:
		other, err := NewCA()
		if err != nil {
			return nil, err
		}
		parent, signer = other.cert, other.key
	default:
		return nil, fmt.Errorf("certificate kind %q: use expired, not-yet, wrong-host, self-signed or unknown-root", kind)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func addNames(tmpl *x509.Certificate, hosts []string) {
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, h)
		}
	}
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-48 * time.Hour),
		NotAfter:     time.Now().Add(48 * time.Hour),
	}
}
