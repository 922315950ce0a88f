package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode"

	"dtpx/cmd/dtpx/internal/config"
)

// finishTime bounds how long running downloads may take to finish at shutdown.
const finishTime = 60 * time.Second

// serveFlags are what serve was called with; flags win over the file.
type serveFlags struct {
	file, listen, state string
}

func (f serveFlags) load() (config.Config, error) {
	cfg := config.Default()
	if f.file != "" {
		var err error
		if cfg, err = config.Load(f.file); err != nil {
			return cfg, err
		}
	}
	if f.listen != "" {
		if err := config.Listen(f.listen); err != nil {
			return cfg, fmt.Errorf("-listen: %w", err)
		}
		cfg.Listen = f.listen
	}
	if f.state != "" {
		cfg.State = f.state
	}
	return cfg, nil
}

func (c *cli) serve(args []string) error {
	var f serveFlags
	fl := c.flags("serve", "[-config F] [-listen ADDR] [-state DIR]")
	fl.StringVar(&f.file, "config", "", "config `FILE`; proxy.yaml in the sources explains every key")
	fl.StringVar(&f.listen, "listen", "", "`ADDR` of the proxy (default 127.0.0.1:3128)")
	fl.StringVar(&f.state, "state", "", "`DIR` of the CA and what was learnt")
	if err := parseAll(fl, args); err != nil {
		return err
	}
	cfg, err := f.load()
	if err != nil {
		return err
	}
	if f.file != "" { // others read it too, from where they are
		if f.file, err = filepath.Abs(f.file); err != nil {
			return err
		}
	}
	return c.serveConfig(f, cfg)
}

func (c *cli) serveConfig(f serveFlags, cfg config.Config) error {
	level := new(slog.LevelVar)
	log := c.logger(cfg.Log, level)
	tuneGC()
	sig := catchSignals() // from here on none ends us half-way
	defer sig.release()
	ln, err := listen(cfg.Listen)
	if err != nil {
		return err
	}
	defer ln.Close()
	n, err := newNode(cfg, ln.Addr(), log)
	if err != nil {
		return err
	}
	n.configFile = f.file
	c.greet(n)
	return c.untilSignal(n, ln, sig, func() { n.cluster.Reload(); c.reload(f, cfg, level, log) })
}

func listen(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use: another dtpx may be running (dtpx status tells); choose another with -listen", addr)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("may not listen on %s: ports below 1024 need root; choose another with -listen", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		host, _, _ := net.SplitHostPort(addr)
		return nil, fmt.Errorf("this machine has no address %s to listen on; choose another with -listen", host)
	}
	return nil, fmt.Errorf("listen: %w", err)
}

// greet tells a person the next lines to type.
func (c *cli) greet(n *node) {
	url := "http://" + n.clientAddr
	ca := n.path("ca.pem")
	fmt.Fprintf(c.out, "dtpx %s listens on %s (dashboard: %s/)\n", version, n.listen, url)
	if n.caNew {
		fmt.Fprintf(c.out, "made a certificate authority for this machine: %s\n", ca)
	} else {
		fmt.Fprintf(c.out, "certificate authority: %s\n", ca)
	}
	fmt.Fprintf(c.out, "\nUse it from a shell:\n  export http_proxy=%s https_proxy=%s\n  export SSL_CERT_FILE=%s NODE_EXTRA_CA_CERTS=%s\n"+
		"  export CURL_CA_BUNDLE=\"$SSL_CERT_FILE\" GIT_SSL_CAINFO=\"$SSL_CERT_FILE\" REQUESTS_CA_BUNDLE=\"$SSL_CERT_FILE\"\n",
		url, url, quoted(n.bundle), quoted(ca))
	fmt.Fprintf(c.out, "\nBrowsers: proxy %s, or PAC %s/proxy.pac; import %s/ca.pem as an authority.\nA program that refuses the certificate is passed through unaccelerated from its next try on.\n\n", n.clientAddr, url, url)
}

// quoted is a path as one word of a shell: macOS keeps state under
// "Application Support".
func quoted(path string) string {
	if !strings.ContainsFunc(path, special) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// special is what a shell may not take literally.
func special(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+=:,@%", r)
}

func (c *cli) logger(l config.Log, level *slog.LevelVar) *slog.Logger {
	level.UnmarshalText([]byte(l.Level)) // checked by config
	opt := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(c.err, opt))
	}
	return slog.New(slog.NewTextHandler(c.err, opt))
}

// signals are what ends or reloads a node.
type signals struct{ stop, hup chan os.Signal }

func catchSignals() signals {
	s := signals{make(chan os.Signal, 2), make(chan os.Signal, 1)}
	signal.Notify(s.stop, os.Interrupt, syscall.SIGTERM)
	notifyHangup(s.hup)
	return s
}

func (s signals) release() {
	signal.Stop(s.stop)
	signal.Stop(s.hup)
}

// untilSignal serves until SIGINT or SIGTERM, then lets running downloads
// finish; a second signal stops at once.
func (c *cli) untilSignal(n *node, ln net.Listener, sig signals, reload func()) error {
	failed := make(chan error, 1)
	go func() { failed <- n.server.Serve(ln) }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); n.keep(ctx) }()
	for {
		select {
		case err := <-failed:
			cancel()
			<-done
			n.close()
			return fmt.Errorf("serve: %w", err)
		case <-sig.hup:
			reload()
			continue
		case s := <-sig.stop:
			n.log.Info("stopping", "signal", s, "running", n.engine.Stats().Active)
		}
		break
	}
	ln.Close() // before it is said, so that it is true when it is read
	err := c.finish(n, sig.stop)
	cancel()
	<-done
	n.close()
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return err
}

// finish shuts the server down, for at most finishTime.
func (c *cli) finish(n *node, again <-chan os.Signal) error {
	if k := n.engine.Stats().Active; k > 0 {
		fmt.Fprintf(c.out, "dtpx: %d downloads running; they may finish within %s. Interrupt again to stop at once.\n", k, finishTime)
	}
	ctx, cancel := context.WithTimeout(context.Background(), finishTime)
	defer cancel()
	go func() {
		select {
		case <-again:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := n.server.Shutdown(ctx); err != nil {
		return fmt.Errorf("stopped before all downloads were finished: %w", err)
	}
	return nil
}

// reload applies what can be changed while running, and says what cannot.
func (c *cli) reload(f serveFlags, old config.Config, level *slog.LevelVar, log *slog.Logger) {
	if f.file == "" {
		log.Info("nothing to reload: started without -config")
		return
	}
	cfg, err := f.load()
	if err != nil {
		log.Error("config not reloaded: it has mistakes", "err", err)
		return
	}
	var restart []string
	for _, key := range config.Changed(old, cfg) {
		if key == "log.level" {
			continue
		}
		restart = append(restart, key)
	}
	level.UnmarshalText([]byte(cfg.Log.Level))
	log.Info("config reloaded", "log.level", cfg.Log.Level)
	if len(restart) > 0 {
		log.Warn("these changes need a restart", "keys", strings.Join(restart, " "))
	}
}
