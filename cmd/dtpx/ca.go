package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"crypto/sha256"
	"crypto/x509"

	"dtpx/certs"
	"dtpx/cmd/dtpx/internal/config"
)

// ca shows or exports the CA certificate. The key never leaves its file.
func (c *cli) ca(args []string) error {
	if len(args) == 0 {
		return usage("ca wants path, show or export")
	}
	fl := c.flags("ca "+args[0], "[-state DIR] [-der]")
	state := fl.String("state", "", "`DIR`ectory of the state")
	der := fl.Bool("der", false, "export: in DER instead of PEM")
	if err := parse(fl, args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "path", "show", "export":
	case "install", "uninstall":
		return fmt.Errorf("ca %s is not in this version (%s): import the file that dtpx ca path names by hand", args[0], version)
	default:
		return usage("there is no ca %q; it is path, show or export", args[0])
	}
	dir, err := stateDir(*state)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, certs.CertFile)
	cert, err := readCert(path)
	if err != nil {
		return err
	}
	switch args[0] {
	case "path":
		fmt.Fprintln(c.out, path)
	case "show":
		fmt.Fprintf(c.out, "subject      %s\nfingerprint  SHA-256 %X\nvalid        %s to %s\nfile         %s\n",
			cert.Subject, sha256.Sum256(cert.Raw), cert.NotBefore.Format("2006-01-02"), cert.NotAfter.Format("2006-01-02"), path)
	case "export":
		out := cert.Raw
		if !*der {
			out = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
		}
		_, err = c.out.Write(out)
	}
	return err
}

func readCert(path string) (*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no certificate authority at %s yet: dtpx serve makes it on its first start", path)
	} else if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return x509.ParseCertificate(block.Bytes)
}

// config checks a config file.
func (c *cli) config(args []string) error {
	if len(args) == 0 || args[0] != "check" {
		return usage("config wants check [F]")
	}
	if len(args) > 2 {
		return usage("config check takes one file")
	}
	file := "proxy.yaml"
	if len(args) == 2 {
		file = args[1]
	}
	_, err := config.Load(file)
	var all config.Errors
	if errors.As(err, &all) {
		for _, e := range all[:len(all)-1] {
			fmt.Fprintf(c.err, "dtpx: %v\n", e)
		}
		return all[len(all)-1]
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s: ok\n", file)
	return nil
}
