package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"dtpx/certs"
	"dtpx/cmd/dtpx/internal/config"
	ranges "dtpx/range"
)

// getOptions are the flags of get.
type getOptions struct {
	out, sha256    string
	resume, direct bool
	config, state  string
}

// get downloads URLs one after the other: through the running node where there
// is one, so that its memory of hosts serves, otherwise with an engine of its
// own.
func (c *cli) get(args []string) error {
	var o getOptions
	fl := c.flags("get", "[-o FILE] [-sha256 HEX] [-c] URL…")
	fl.StringVar(&o.out, "o", "", "write to `FILE`; - is standard output")
	fl.StringVar(&o.sha256, "sha256", "", "what the file must be, in `HEX`")
	fl.BoolVar(&o.resume, "c", false, "continue a download that was broken off")
	fl.BoolVar(&o.direct, "direct", false, "do not use the running node")
	fl.StringVar(&o.config, "config", "", "config `FILE` for a download without a node")
	fl.StringVar(&o.state, "state", "", "`DIR` of the node's state")
	if err := parse(fl, args); err != nil {
		return err
	}
	urls := fl.Args()
	if err := o.check(urls); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	f, err := c.newFetcher(o)
	if err != nil {
		return err
	}
	defer f.close()
	for _, u := range urls {
		if err := f.fetch(ctx, u); err != nil {
			if ctx.Err() != nil {
				return errors.New("interrupted; what has come is kept, go on with -c")
			}
			var of *url.Error // quotes the URL, query and all
			if errors.As(err, &of) {
				err = of.Err
			}
			return fmt.Errorf("get %s: %w", redacted(u), err)
		}
	}
	return nil
}

func (o getOptions) check(urls []string) error {
	switch {
	case len(urls) == 0:
		return usage("get wants a URL")
	case len(urls) > 1 && (o.out != "" || o.sha256 != ""):
		return usage("-o and -sha256 are for one URL, got %d", len(urls))
	case o.out == "-" && o.resume:
		return usage("-c cannot continue standard output")
	}
	if sum, err := hex.DecodeString(o.sha256); err != nil || len(sum) != 0 && len(sum) != 32 {
		return usage("-sha256 wants 64 hex digits")
	}
	for _, s := range urls {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return usage("%q is no http or https URL", s)
		}
	}
	return nil
}

// redacted is a URL without what may be secret.
func redacted(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "URL"
	}
	u.User = nil
	if u.RawQuery != "" {
		u.RawQuery = "…"
	}
	return strings.Replace(u.String(), "%E2%80%A6", "…", 1)
}

// fetcher is the way by which get downloads.
type fetcher struct {
	c         *cli
	o         getOptions
	client    *http.Client
	downloads func() []ranges.Info
	close     func()
}

func (c *cli) newFetcher(o getOptions) (*fetcher, error) {
	f := &fetcher{c: c, o: o, close: func() {}}
	if o.config == "" && !o.direct {
		if r, err := findNode(o.state); err == nil {
			return f, f.through(r)
		}
	}
	return f, f.alone()
}

// through makes the running node the proxy, trusting its CA beside the
// system's roots. The token stands for a user's name and password.
func (f *fetcher) through(r *running) error {
	cert, err := readCert(filepath.Join(r.dir, certs.CertFile))
	if err != nil {
		return err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	roots.AddCert(cert)
	t := &http.Transport{
		Proxy:              http.ProxyURL(&url.URL{Scheme: "http", Host: r.addr, User: url.UserPassword("", r.token)}),
		TLSClientConfig:    &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableCompression: true,
		ReadBufferSize:     64 << 10,
	}
	f.client = &http.Client{Transport: t}
	f.close = t.CloseIdleConnections
	f.downloads = func() (ds []ranges.Info) {
		_ = r.read("/api/v1/downloads", &ds) // only for the progress lines
		return ds
	}
	return nil
}

// alone uses an engine of its own with the state's memory of hosts.
func (f *fetcher) alone() error {
	cfg, err := serveFlags{file: f.o.config, state: f.o.state}.load()
	if err != nil {
		return err
	}
	n, err := loneNode(cfg)
	if err != nil {
		return err
	}
	f.client = &http.Client{Transport: n.router}
	f.downloads = n.engine.Downloads
	f.close = func() {
		n.engine.Close()
		n.router.close()
		if n.dir != "" {
			n.save()
		}
	}
	return nil
}

// loneNode is a node without a server.
func loneNode(cfg config.Config) (*node, error) {
	n := &node{cfg: cfg, log: slog.New(slog.DiscardHandler), started: time.Now(), hosts: ranges.NewHosts()}
	if dir, err := stateDir(cfg.State); err == nil {
		if _, err := os.Stat(dir); err == nil { // get alone makes no state
			n.dir = dir
			known, _ := loadMemory(dir) // a damaged one is for serve to complain about
			n.hosts, n.tunnelled = known.Hosts, known.Tunnelled
		}
	}
	n.hosts.SetNetwork(networkName())
	return n, n.wireOutbound()
}
