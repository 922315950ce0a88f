package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// The names of the two files, which scripts rely on.
const (
	CertFile = "ca.pem"
	KeyFile  = "ca-key.pem"
)

// LoadOrCreate opens the authority kept in dir, making dir (0700), key and
// certificate where there are none. created says that people have to trust a
// new certificate. The clock may be nil (time.Now), and so may log, which gets
// warnings.
func LoadOrCreate(dir string, now func() time.Time, log *slog.Logger) (a *Authority, created bool, err error) {
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, false, fmt.Errorf("make CA directory: %w", err)
	}
	s := store{dir: dir, now: now(), log: log}
	s.sweep()
	key, err := s.loadOrCreateKey()
	if err != nil {
		return nil, false, err
	}
	cert, created, err := s.loadOrCreateCert(key)
	if err != nil {
		return nil, false, err
	}
	a = &Authority{key: key, cert: cert, now: now, tickets: &tls.Config{Time: now}}
	return a, created, nil
}

// store is the two files during one LoadOrCreate.
type store struct {
	dir string
	now time.Time
	log *slog.Logger
}

func (s store) path(name string) string { return filepath.Join(s.dir, name) }

func (s store) loadOrCreateKey() (*ecdsa.PrivateKey, error) {
	key, err := s.loadKey()
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if _, err := os.Lstat(s.path(CertFile)); err == nil {
		// Unless another process has just written both.
		if key, err := s.loadKey(); err == nil {
			return key, nil
		}
		return nil, fmt.Errorf("%s is there but its key %s is not: restore the key, or delete %s, start again and trust the new CA",
			s.path(CertFile), KeyFile, CertFile)
	}
	if key, err = newKey(); err != nil {
		return nil, fmt.Errorf("make CA key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make CA key: %w", err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := createFile(s.path(KeyFile), data, 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("write CA key: %w", err)
	}
	// Read back: what counts is the file, and another process that starts at
	// the same instant may have been first.
	return s.loadKey()
}

func (s store) loadKey() (*ecdsa.PrivateKey, error) {
	path := s.path(KeyFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read CA key: %w", err)
	}
	s.closeKeyMode(path)
	block, rest := pem.Decode(data)
	if block == nil || len(bytes.TrimSpace(rest)) != 0 {
		return nil, damaged(path, errors.New("not one PEM block"))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, damaged(path, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, damaged(path, errors.New("not an ECDSA P-256 key"))
	}
	return key, nil
}

// closeKeyMode takes away what others could read. Windows has no such bits;
// there the directory's ACL decides.
func (s store) closeKeyMode(path string) {
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0 {
		return
	}
	if err := os.Chmod(path, 0o600); err != nil {
		s.log.Warn("CA key is readable by others and its mode cannot be changed", "file", path, "err", err)
		return
	}
	s.log.Warn("CA key was readable by others; mode set to 0600. If somebody may have read it, delete both files and trust the new CA",
		"file", path, "mode", info.Mode().Perm().String())
}

func (s store) loadOrCreateCert(key *ecdsa.PrivateKey) (*x509.Certificate, bool, error) {
	cert, err := s.loadCert(key)
	if !errors.Is(err, fs.ErrNotExist) {
		return cert, false, err
	}
	cert, err = mintCA(key, s.now)
	if err != nil {
		return nil, false, err
	}
	err = createFile(s.path(CertFile), certPEM(cert.Raw), 0o644)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, false, fmt.Errorf("write CA certificate: %w", err)
	}
	won := err == nil
	cert, err = s.loadCert(key)
	return cert, won, err
}

func (s store) loadCert(key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	path := s.path(CertFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read CA certificate: %w", err)
	}
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) != 0 {
		return nil, damaged(path, errors.New("not one PEM certificate"))
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, damaged(path, err)
	}
	return cert, s.checkCert(path, cert, key)
}

// checkCert refuses a certificate that would only make clients fail later.
func (s store) checkCert(path string, cert *x509.Certificate, key *ecdsa.PrivateKey) error {
	switch {
	case !key.PublicKey.Equal(cert.PublicKey):
		return fmt.Errorf("%s and %s do not belong together: restore the matching file, or delete both, start again and trust the new CA", path, KeyFile)
	case !cert.IsCA || cert.CheckSignatureFrom(cert) != nil:
		return damaged(path, errors.New("not a self-signed CA certificate"))
	case s.now.After(cert.NotAfter):
		return fmt.Errorf("%s expired on %s: delete it (and keep %s), start again and trust the new certificate",
			path, cert.NotAfter.Format(time.DateOnly), KeyFile)
	case s.now.Before(cert.NotBefore):
		return fmt.Errorf("%s is not valid before %s, and the clock says %s: set the clock",
			path, cert.NotBefore.Format(time.DateOnly), s.now.Format(time.DateOnly))
	}
	return nil
}

func damaged(path string, err error) error {
	return fmt.Errorf("%s cannot be used (%w): restore it, or delete %s and %s, start again and trust the new CA", path, err, CertFile, KeyFile)
}
