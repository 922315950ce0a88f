package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"dtpx/internal/cork"
)

// handshakeTime is generous: phones wake up in mid-handshake.
const handshakeTime = 30 * time.Second

// session is the connection below an intercepted TLS one: it replays what
// peekHello had read, and knows whose it is.
type session struct {
	*cork.Conn
	head      []byte
	client    Client
	authority string // as URLs on this connection name it
	key       party

	handshook time.Time   // set before it is served
	spoke     atomic.Bool // something came after the handshake
	served    atomic.Bool // a request came
}

func (c *session) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

func (c *session) NetConn() net.Conn { return c.Conn }

type sessionKey struct{}

// sessionContext lets handlers find the session of their connection.
func sessionContext(ctx context.Context, c net.Conn) context.Context {
	ctx = context.WithValue(ctx, connKey{}, c)
	return context.WithValue(ctx, sessionKey{}, sessionOf(c))
}

func sessionOf(c net.Conn) *session { return c.(*tls.Conn).NetConn().(*session) }

// intercept ends the client's TLS and hands the connection to the inner
// server, which picks h2 or HTTP/1.1 by ALPN.
func (s *Server) intercept(ctx context.Context, c *connect, conn net.Conn, head []byte, h *clientHello) {
	ses := &session{Conn: cork.New(conn), head: head, client: c.client, authority: authority(c.host, c.port), key: s.party(c, h)}
	tc := tls.Server(ses, s.TLS(c.host))
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	if err := tc.HandshakeContext(ctx); err != nil {
		s.handshakeFailed(ses, err)
		conn.Close()
		return
	}
	ses.handshook = s.now()
	s.stats.intercepted.Add(1)
	c.leave() // its requests will have their own
	if err := s.inbox.put(tc); err != nil {
		conn.Close()
	}
}

func (s *Server) handshakeFailed(ses *session, err error) {
	how, reason := refusalOf(err)
	if s.isClosing() || how == noRefusal {
		return
	}
	s.noteRefusal(ses, how, reason)
}

func (s *Server) noteRefusal(ses *session, how refusal, reason string) {
	if how != explicit && strings.HasPrefix(ses.key.UserAgent, "Mozilla/") {
		// Browsers that do not trust us say so by an alert. Chromium gives up
		// connections in all states while it starts, when its settings come,
		// and whenever a page is left.
		how = aborted
	}
	s.stats.refused.Add(1)
	if !s.rules.learn {
		s.log.Debug("client refused our certificate", "host", ses.authority, "reason", reason)
		return
	}
	if s.learnt.refused(ses.key, how, reason) {
		s.log.Info("client does not trust our certificate: its connections to this host will be tunnelled for 24 h",
			"host", ses.key.Host, "client", ses.key.Client, "agent", ses.key.UserAgent, "reason", reason)
	}
}

// trackSession watches intercepted connections: one that ends before its first
// request may be a client that does not trust us.
func (s *Server) trackSession(c net.Conn, state http.ConnState) {
	s.trackFresh(c, state)
	ses := sessionOf(c)
	switch state {
	case http.StateActive:
		ses.spoke.Store(true)
	case http.StateClosed:
		if !ses.served.Load() && !s.isClosing() {
			s.endedUnserved(ses, c.(*tls.Conn))
		}
	}
}

func (s *Server) endedUnserved(ses *session, tc *tls.Conn) {
	// A closed tls.Conn still tells what ended it: a client that verifies
	// after the handshake may have sent its alert there.
	_, err := tc.Read(make([]byte, 1))
	how, reason := noRefusal, ""
	if op := new(net.OpError); errors.As(err, &op) && op.Op == "remote error" {
		how, reason = refusalOf(err)
	}
	switch {
	case how == explicit:
		s.noteRefusal(ses, how, reason)
	case ses.spoke.Load() && tc.ConnectionState().NegotiatedProtocol == "h2":
		// A preconnect: the h2 preface is sent by those who have verified.
		s.learnt.accepted(ses.key)
	case ses.spoke.Load():
		s.noteRefusal(ses, soft, "no HTTP inside its TLS")
	case s.now().Sub(ses.handshook) < time.Second:
		// GnuTLS (wget, git) verifies after the handshake and hangs up.
		s.noteRefusal(ses, soft, "closed right after the handshake")
	}
}

// refusal is how sure a failure is to mean that the client does not trust us.
type refusal int

const (
	noRefusal refusal = iota
	soft              // a client that trusts us does this too, now and then
	aborted           // soft, and often: a browser gave up without a word
	hard              // it gave up in mid-handshake; people press Ctrl-C there as well
	explicit          // it said so, or can never talk to us
)

// refusalOf reads the error of a handshake that we answered as a server.
func refusalOf(err error) (refusal, string) {
	var op *net.OpError
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, net.ErrClosed):
		return noRefusal, ""
	case errors.As(err, &op) && op.Op == "remote error":
		// Go, NSS and BoringSSL send an alert: bad certificate, unknown CA, …
		if strings.Contains(op.Err.Error(), "user canceled") {
			return hard, op.Err.Error()
		}
		return explicit, op.Err.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return hard, "hung up during the handshake" // node
	case errors.As(err, &timeout) && timeout.Timeout():
		return noRefusal, ""
	}
	if s := err.Error(); strings.Contains(s, "bad record MAC") || strings.Contains(s, "unexpected message") {
		// OpenSSL under TLS 1.3 sends its alert in clear where we expect it
		// encrypted.
		return explicit, "garbled record, as OpenSSL answers a certificate that it does not trust"
	}
	// No version, cipher or certificate suits both sides, which the next try
	// will not change.
	return explicit, err.Error()
}
