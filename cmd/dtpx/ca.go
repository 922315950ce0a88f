package main

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"crypto/sha256"
	"crypto/x509"

	"dtpx/certs"
	"dtpx/cmd/dtpx/internal/config"
)

// ca shows or exports the CA certificate. The key never leaves its file. retry lets
// programs that refused it try again.
func (c *cli) ca(args []string) error {
	switch {
	case len(args) > 0 && args[0] == "retry":
		return c.retry(args[1:])
	case len(args) > 0 && slices.Contains([]string{"path", "show", "export"}, args[0]):
	case len(args) > 0 && (args[0] == "install" || args[0] == "uninstall"):
		return fmt.Errorf("ca %s is not in this version (%s): import the file that dtpx ca path names by hand", args[0], version)
	default:
		return c.noVerb("ca", "path, show or export, or retry [HOST]", args)
	}
	fl := c.flags("ca "+args[0], "[-state DIR] [-der]")
	state := fl.String("state", "", "`DIR` of the state")
	der := fl.Bool("der", false, "export: in DER instead of PEM")
	if err := parseAll(fl, args[1:]); err != nil {
		return err
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

// retry lets the running node open connections again of programs that did not trust
// it, to host or to all.
func (c *cli) retry(args []string) error {
	fl := c.flags("ca retry", "[HOST] [-state DIR]")
	state := fl.String("state", "", "`DIR` of the node's state")
	host := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		host, args = args[0], args[1:]
	}
	if err := parseAll(fl, args); err != nil {
		return err
	}
	r, err := findNode(*state)
	if err != nil {
		return err
	}
	raw, err := r.do("ca-retry", url.Values{"host": {host}})
	if err != nil {
		return err
	}
	var n forgotten
	switch err := json.Unmarshal(raw, &n); {
	case err != nil:
		return err
	case n.Forgotten == 0 && host != "":
		return fmt.Errorf("nothing to %s is passed through; dtpx status lists what is", host)
	case n.Forgotten == 0:
		return errors.New("nothing is passed through")
	}
	fmt.Fprintf(c.out, "%d to try again. What still does not trust the certificate is refused once more, and passed through.\n", n.Forgotten)
	return nil
}

// forgotten is what ca-retry answers.
type forgotten struct {
	Forgotten int `json:"forgotten"`
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
		return c.noVerb("config", "check [F]", args)
	}
	if len(args) > 2 {
		return usage("config check takes one file, and %q is too much", args[2])
	}
	file := "proxy.yaml"
	if len(args) == 2 {
		file = args[1]
	}
	cfg, err := config.Load(file)
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
	if cfg.Cluster.Secret != "" {
		if _, err := configuredGroup(cfg.Cluster); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	fmt.Fprintf(c.out, "%s: ok\n", file)
	return nil
}
