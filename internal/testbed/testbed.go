// Package testbed is a web server that misbehaves on purpose, exactly as told,
// and remembers what it sent.
//
// An [Origin] serves made-up files of any size over http and https. The bytes of
// a file are a function of its seed and the offset ([Content]), so that nothing is
// stored, 8 GiB cost no disk, and a slice in the wrong place shows itself with
// the place it belongs to. What a URL does stands in the URL (see [Options]):
//
//	/64MiB/file.bin                                a file of 64 MiB
//	/64MiB/file.bin?etag=weak&seed=7               with a weak validator
//	/64MiB/etag=edge;fault=stall,at=last/file.bin  the same, for tools that lose queries
//
// A request becomes a reply (status, fields, parts of the content); faults alter
// the reply; the reply is sent through a connection that is paced by [Limits].
// Each request leaves an [Entry] in the [Log], from which duplicate and wasted
// bytes are computed.
//
// [MemNet] is a network in memory with delays, rates, cuts and pauses, driven by
// package time, so that the same Origin runs in a testing/synctest bubble. Package
// netns makes real shaped links and package wire real delayed and lossy ones.
//
// Not guaranteed: faults that need a malformed HTTP/1.1 message (see the table in
// fault.go) end the stream with an error on HTTP/2; [Entry.Acked] of requests that
// share an HTTP/2 connection is a lower bound.
package testbed

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"
)

// Config describes an [Origin]. The zero value listens for http and https on free
// ports of 127.0.0.1 and limits nothing.
type Config struct {
	// Listen and TLSListen are addresses, several with commas (each is an edge of
	// its own for etag=edge). "" is 127.0.0.1:0, "off" is none.
	Listen, TLSListen string
	// ListenFunc replaces net.Listen: a MemNet's or a namespace's.
	ListenFunc func(network, addr string) (net.Listener, error)

	NoH2  bool                // https offers HTTP/1.1 only
	CA    *CA                 // nil: a new one
	Cert  CertKind            // certificate shown on TLSListen, "" = a good one
	Hosts []string            // more names and addresses in the certificate
	TLS   func(c *tls.Config) // last word on the TLS settings

	Limits
	Defaults   Options      // of every URL, before what the URL says
	Files      http.Handler // asked first with paths that do not begin with a size; nil: 404
	Log        io.Writer    // access log as JSON lines; nil: only in memory
	SendBuffer int          // SO_SNDBUF of accepted connections, 0 = the system's
}

// Limits slow an origin down or make it refuse. Rates are in bytes per second,
// 0 is unlimited. They count at the TCP connection: what TLS and HTTP add is in them.
type Limits struct {
	PerConn int64 // stays with a connection over all of its requests
	PerIP   int64 // shared by all connections of one client address
	Total   int64 // shared by everybody

	MaxConns    int    // connections of one client address, idle ones too; 0 = any number
	OverConns   Policy // what the next one meets; "" = 503
	MaxRequests int    // requests of one client address at a time
	OverReqs    Policy // "" = 503

	RetryAfter time.Duration // sent with 503 and 429 of the two above, 0 = no such field
}

// Policy is what somebody meets who wants too much.
type Policy string

const (
	Answer503 Policy = "503"    // an answer 503, then close
	Answer429 Policy = "429"    // an answer 429, then close
	Reset     Policy = "reset"  // TCP reset at once
	Refuse    Policy = "refuse" // the listening socket goes away while full (counts all addresses together)
	Hang      Policy = "hang"   // accepted, then silence
)

// An Origin is a running server. Its methods may be called concurrently.
type Origin struct {
	HTTP, HTTPS string // base URLs of the first listeners, "" if off
	CA          *CA

	cfg       Config
	servers   []*http.Server
	listeners []*listener     // write-once: before the first is served
	ctx       context.Context // ends with Close; what has no context of its own asks it
	stop      context.CancelFunc
	busy      tally // everything that runs

	pace  pacer
	conns connTable
	log   Log
	files registry
}

// New starts an origin. Close it.
func New(cfg Config) (*Origin, error) {
	o := &Origin{cfg: cfg, CA: cfg.CA}
	if o.CA == nil {
		ca, err := NewCA()
		if err != nil {
			return nil, fmt.Errorf("make test CA: %w", err)
		}
		o.CA = ca
	}
	if o.cfg.ListenFunc == nil {
		o.cfg.ListenFunc = net.Listen
	}
	o.log.w = cfg.Log
	o.SetLimits(cfg.Limits)
	ctx, cancel := context.WithCancel(context.Background())
	o.ctx, o.stop = ctx, cancel
	if err := errors.Join(o.listenAll(cfg.Listen, false), o.listenAll(cfg.TLSListen, true)); err != nil {
		o.Close()
		return nil, err
	}
	for i, s := range o.servers {
		o.busy.run(func() { serve(s, o.listeners[i]) })
	}
	return o, nil
}

// SetLimits changes the limits from now on, of open connections too. Connections
// that are open already are not closed by a smaller MaxConns.
func (o *Origin) SetLimits(l Limits) {
	o.pace.setLimits(l)
	o.conns.setLimits(l)
}

// Close resets all connections, ends stalled requests and waits for all of them.
func (o *Origin) Close() error {
	o.stop()
	for i, s := range o.servers {
		o.listeners[i].Close() // the server knows it only once it serves
		s.Close()
	}
	o.conns.closeAll()
	o.busy.wait()
	return nil
}

// Log is what was requested so far.
func (o *Origin) Log() *Log { return &o.log }

// Client trusts the origin's CA and uses no proxy.
func (o *Origin) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:    &tls.Config{RootCAs: o.CA.Pool()},
		DisableCompression: true,
		ForceAttemptHTTP2:  !o.cfg.NoH2,
	}}
}

func (o *Origin) listenAll(addrs string, secure bool) error {
	if addrs == "off" {
		return nil
	}
	if addrs == "" {
		addrs = "127.0.0.1:0"
	}
	for addr := range strings.SplitSeq(addrs, ",") {
		if err := o.listen(addr, secure); err != nil {
			return fmt.Errorf("origin on %s: %w", addr, err)
		}
	}
	return nil
}

func (o *Origin) listen(addr string, secure bool) (err error) {
	s := &http.Server{
		Handler:     http.HandlerFunc(o.handle),
		BaseContext: func(net.Listener) context.Context { return o.ctx },
		ConnContext: withConn,
		ErrorLog:    log.New(io.Discard, "", 0), // refused handshakes are the point of many tests
	}
	if secure {
		if s.TLSConfig, err = o.tlsConfig(); err != nil {
			return err
		}
	}
	ln, err := newListener(o, addr)
	if err != nil {
		return err
	}
	o.servers = append(o.servers, s)
	o.listeners = append(o.listeners, ln)
	if secure && o.HTTPS == "" {
		o.HTTPS = "https://" + ln.Addr().String()
	} else if !secure && o.HTTP == "" {
		o.HTTP = "http://" + ln.Addr().String()
	}
	return nil
}

// serve returns when the origin closes.
func serve(s *http.Server, ln net.Listener) {
	if s.TLSConfig != nil {
		s.ServeTLS(ln, "", "")
	} else {
		s.Serve(ln)
	}
}

func (o *Origin) tlsConfig() (*tls.Config, error) {
	good, err := o.CA.Issue(o.cfg.Cert, o.cfg.Hosts...)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if kind, ok := strings.CutSuffix(hello.ServerName, ".test"); ok && badCert(CertKind(kind)) {
				return o.CA.Issue(CertKind(kind))
			}
			return good, nil
		},
	}
	if o.cfg.NoH2 {
		c.NextProtos = []string{"http/1.1"}
	}
	if o.cfg.TLS != nil {
		o.cfg.TLS(c)
	}
	return c, nil
}
