// Command origin runs the testbed's web server for real programs: curl, browsers,
// apt, aria2. What a URL does stands in the URL; go doc dtpx/internal/testbed.Options
// and testbed.Fault list the words.
//
//	go run ./internal/testbed/cmd/origin -per-conn 2MiB/s -max-conns 16 -ca /tmp/ca.pem
//	curl --cacert /tmp/ca.pem -O 'https://127.0.0.1:8443/64MiB/file.bin'
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"dtpx/internal/testbed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "origin:", err)
		os.Exit(1)
	}
}

// size is a flag for bytes and bytes per second.
type size int64

func (s *size) String() string { return fmt.Sprint(int64(*s)) }

func (s *size) Set(v string) (err error) {
	n, err := testbed.ParseSize(v)
	*s = size(n)
	return err
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	var cfg testbed.Config
	fs := flag.NewFlagSet("origin", flag.ExitOnError)
	fs.StringVar(&cfg.Listen, "listen", "127.0.0.1:8080", "http `addresses`, with commas; off = none")
	fs.StringVar(&cfg.TLSListen, "tls-listen", "127.0.0.1:8443", "https `addresses`, with commas; off = none")
	fs.BoolVar(&cfg.NoH2, "no-h2", false, "https without HTTP/2")
	fs.Var((*size)(&cfg.PerConn), "per-conn", "`rate` of each connection, like 2MiB/s")
	fs.Var((*size)(&cfg.PerIP), "per-ip", "`rate` of each client address")
	fs.Var((*size)(&cfg.Total), "total", "`rate` of everything")
	fs.IntVar(&cfg.MaxConns, "max-conns", 0, "connections per client address")
	fs.StringVar((*string)(&cfg.OverConns), "over-conns", "503", "what one more meets: 503, 429, reset, refuse, hang")
	fs.IntVar(&cfg.MaxRequests, "max-requests", 0, "requests at a time per client address")
	fs.StringVar((*string)(&cfg.OverReqs), "over-requests", "503", "what one more meets: 503, 429, reset, hang")
	fs.DurationVar(&cfg.RetryAfter, "retry-after", 0, "Retry-After of these 503 and 429")
	fs.IntVar(&cfg.SendBuffer, "sndbuf", 0, "SO_SNDBUF of connections in bytes")
	fs.StringVar((*string)(&cfg.Cert), "cert", "", "certificate: expired, not-yet, wrong-host, self-signed, unknown-root")
	host := fs.String("host", "", "one more `name` or address in the certificate")
	ca := fs.String("ca", filepath.Join(os.TempDir(), "testbed-ca.pem"), "where to write the CA certificate")
	dir := fs.String("dir", "", "serve the files of this `directory` too")
	logTo := fs.String("log", "", "append the access log to this `file`, - = standard output")
	control := fs.String("control", "", "`address` for /_log, /_stats, /_reset, /_ca.pem beside the limits")
	fs.Parse(args)

	if *host != "" {
		cfg.Hosts = []string{*host}
	}
	if *dir != "" {
		cfg.Files = http.FileServer(http.Dir(*dir))
	}
	closeLog, err := openLog(&cfg, *logTo, stdout)
	if err != nil {
		return err
	}
	defer closeLog()
	o, err := testbed.New(cfg)
	if err != nil {
		return err
	}
	defer o.Close()
	if err := o.CA.WriteFile(*ca); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "http:  %s/64MiB/file.bin\nhttps: %s/64MiB/file.bin\nCA:    %s\n", o.HTTP, o.HTTPS, *ca)
	return serveControl(ctx, o, *control)
}

func openLog(cfg *testbed.Config, path string, stdout io.Writer) (func(), error) {
	switch path {
	case "":
		return func() {}, nil
	case "-":
		cfg.Log = stdout
		return func() {}, nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	cfg.Log = f
	return func() { f.Close() }, nil
}

// serveControl returns when ctx ends.
func serveControl(ctx context.Context, o *testbed.Origin, addr string) error {
	if addr == "" {
		<-ctx.Done()
		return nil
	}
	s := &http.Server{Addr: addr, Handler: o.Control()}
	failed := make(chan error, 1)
	go func() { failed <- s.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		s.Close()
		<-failed
		return nil
	}
}
