package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/elazarl/goproxy"
)

const (
	// A client that opens a connection says something within this time:
	// against clients that hold connections for nothing.
	headerTimeout = 60 * time.Second
	// Longer than browsers keep idle connections to a proxy, so that it is
	// they who close and no request meets a closing connection.
	idleTimeout = 5 * time.Minute
)

// state is what the first Serve builds. All but the counters is write-once.
type state struct {
	once      sync.Once
	log       *slog.Logger
	now       func() time.Time
	guard     *Guard
	hopName   string
	transport http.RoundTripper
	hitter    Hitter // nil: transport is none
	dial      DialFunc

	outer    *http.Server // what clients connect to
	inner    *http.Server // what is inside intercepted TLS
	inbox    *inbox       // hands intercepted connections to inner
	pipeline *goproxy.ProxyHttpServer
	surface  http.Handler
	rules    rules
	learnt   *learnt
	logins   *logins

	hijacked  connSet // tunnels, upgrades and handshakes
	fresh     connSet // connections that have not sent a request yet
	perClient int     // write-once; see Server.PerClient
	running   seats   // requests and tunnels
	conns     seats   // connections that are no tunnels

	closing  chan struct{} // closed when Shutdown begins
	closeOne sync.Once
	inners   sync.WaitGroup
	stats    stats
}

// Serve answers on l until Shutdown, then returns [http.ErrServerClosed]. It
// may be called for several listeners. Whoever calls it calls Shutdown too.
func (s *Server) Serve(l net.Listener) error {
	s.build()
	s.guard.Add(l.Addr())
	return s.outer.Serve(l)
}

// Shutdown stops accepting, waits for running requests until ctx ends, then
// closes what is left (tunnels and upgraded connections cannot be waited for)
// and returns when every goroutine has ended.
func (s *Server) Shutdown(ctx context.Context) error {
	s.build()
	s.closeOne.Do(func() { close(s.closing) })
	// Connections that never said anything would hold net/http up for 5 s.
	s.fresh.closeAll()
	var inner error
	var wait sync.WaitGroup
	wait.Go(func() { inner = shutdown(ctx, s.inner) })
	outer := shutdown(ctx, s.outer)
	wait.Wait()
	s.inbox.Close() // before waiting for handshakes that want to put something in
	s.hijacked.closeAll()
	s.hijacked.wait()
	s.inners.Wait()
	if t, ok := s.transport.(defaultTransport); ok {
		t.CloseIdleConnections()
	}
	return errors.Join(outer, inner)
}

// shutdown waits for requests and closes those that last longer than ctx. That
// somebody has closed the listener before is no failure.
func shutdown(ctx context.Context, srv *http.Server) error {
	err := srv.Shutdown(ctx)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	if err != nil {
		err = errors.Join(err, srv.Close())
	}
	return err
}

func (s *Server) build() { s.once.Do(s.buildOnce) }

func (s *Server) buildOnce() {
	s.log, s.now, s.guard = s.Log, s.Now, s.Guard
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.guard == nil {
		s.guard = new(Guard)
	}
	if s.hopName = s.HopName; s.hopName == "" {
		s.hopName = rand.Text()
	}
	if s.transport = s.Transport; s.transport == nil {
		s.transport = newDefaultTransport(s.guard)
	}
	s.hitter, _ = s.transport.(Hitter)
	if s.dial = s.Dial; s.dial == nil {
		s.dial = defaultDial(s.guard)
	}
	if s.perClient = s.PerClient; s.perClient == 0 {
		s.perClient = DefaultPerClient
	}
	s.rules = newRules(s.Intercept)
	s.learnt = newLearnt(s.now, s.Intercept.Known)
	s.logins = newLogins(s.Users)
	s.closing = make(chan struct{})
	s.inbox = newInbox()
	s.pipeline = s.newPipeline()
	s.surface = s.newSurface()
	s.outer = s.newHTTPServer(http.HandlerFunc(s.serveOuter))
	s.outer.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	s.outer.ConnState = s.trackFresh
	// The port that people type is HTTP/1 only: no proxy client speaks h2
	// without TLS.
	s.outer.Protocols = new(http.Protocols)
	s.outer.Protocols.SetHTTP1(true)
	s.inner = s.newHTTPServer(http.HandlerFunc(s.serveIntercepted))
	s.inner.ConnContext = sessionContext
	s.inner.ConnState = s.trackSession
	s.inners.Go(func() { _ = s.inner.Serve(s.inbox) })
}

func (s *Server) newHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		// "OPTIONS *" is the origin's to answer.
		DisableGeneralOptionsHandler: true,
	}
}

type connKey struct{}

// trackFresh keeps the connections on which nothing has been asked yet.
func (s *Server) trackFresh(c net.Conn, state http.ConnState) {
	s.trackConn(c, state)
	switch state {
	case http.StateNew:
		s.fresh.add(c)
	case http.StateIdle: // it has been active
	default:
		s.fresh.remove(c)
	}
}

func (s *Server) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}
