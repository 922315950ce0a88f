package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/elazarl/goproxy"
)

const (
	// How long a client may stay silent behind CONNECT before it gets a tunnel:
	// in some protocols (SMTP, IMAP, MySQL) the server speaks first. On 443 it
	// is TLS nearly always, and a slow client is worth waiting for.
	silence    = time.Second
	silence443 = 10 * time.Second
)

// notHTTP are ports of protocols that use TLS, often without ALPN, but not
// HTTP: ending their TLS would break them (IANA names in order: ssmtp,
// submission, ldaps, DoT, ftps, imaps, pop3s, xmpp, amqps, sips, ircs, mqtts).
var notHTTP = []string{"465", "587", "636", "853", "989", "990", "993", "995", "5222", "5223", "5269", "5671", "5061", "6697", "8883"}

// connect is one CONNECT request.
type connect struct {
	host, port string // host is canonical
	client     Client
	w          *responseWriter
	leave      func() // its seat: a tunnel has it to its end, an intercepted connection until it is one
}

func (c *connect) addr() string { return net.JoinHostPort(c.host, c.port) }

type connectKey struct{}

func (s *Server) serveConnect(w http.ResponseWriter, r *http.Request, client Client) {
	if s.looped(r) {
		s.refuse(w, r, loopProblem)
		return
	}
	client, ok := s.authenticate(w, r, client)
	if !ok {
		return
	}
	c := &connect{client: client, w: &responseWriter{ResponseWriter: w, ex: &exchange{in: r, w: w}}}
	if problem, ok := c.parse(r); !ok {
		s.refuse(w, r, problem)
		return
	}
	if err := s.guardTarget(client, c.addr()); err != nil {
		s.refuse(w, r, classify(err))
		return
	}
	leave, ok := s.seat(w, r, client)
	if !ok {
		return
	}
	c.leave = sync.OnceFunc(leave)
	defer c.leave()
	if !s.hijacked.begin() {
		panic(http.ErrAbortHandler)
	}
	defer s.hijacked.work.Done()
	ctx := context.WithValue(s.withClient(r.Context(), client), connectKey{}, c)
	s.pipeline.ServeHTTP(c.w, r.WithContext(ctx))
}

func (c *connect) parse(r *http.Request) (problem, bool) {
	host, port, err := net.SplitHostPort(r.Host)
	c.host, c.port = canonicalHost(host), port
	switch {
	case err != nil || host == "" || !validPort(port, false):
		return problem{http.StatusBadRequest, "http_request_error", "CONNECT needs host:port"}, false
	case r.ContentLength != 0:
		// RFC 9110 §9.3.6 gives it no meaning, and what it hides would be
		// the beginning of the tunnel.
		return problem{http.StatusBadRequest, "http_request_error", "CONNECT has no content"}, false
	case c.host == InternalHost:
		return problem{http.StatusNotFound, "http_request_error", "dtpx answers at http://" + InternalHost + "/, not over https"}, false
	}
	return problem{}, true
}

// decideConnect is goproxy's CONNECT handler. A tunnel is dialled here, while
// net/http still watches the client; interception waits for the first bytes.
func (s *Server) decideConnect(hostport string, pc *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) {
	ctx := pc.Req.Context()
	c := ctx.Value(connectKey{}).(*connect)
	if s.mayIntercept(c) {
		return hijack(func(conn net.Conn) { s.inspect(ctx, c, conn) }), hostport
	}
	upstream, err := s.dial(ctx, "tcp", c.addr())
	if err != nil {
		return hijack(func(conn net.Conn) { s.refuseTunnel(c, conn, err) }), hostport
	}
	return hijack(func(conn net.Conn) {
		if _, err := io.WriteString(conn, established); err != nil {
			conn.Close()
			upstream.Close()
			return
		}
		s.tunnel(conn, upstream, c.w.early)
	}), hostport
}

const established = "HTTP/1.1 200 Connection established\r\n\r\n"

func hijack(use func(net.Conn)) *goproxy.ConnectAction {
	return &goproxy.ConnectAction{
		Action: goproxy.ConnectHijack,
		Hijack: func(_ *http.Request, conn net.Conn, _ *goproxy.ProxyCtx) { use(conn) },
	}
}

func (s *Server) mayIntercept(c *connect) bool {
	return s.TLS != nil && s.rules.intercepts(c.host) && !slices.Contains(notHTTP, c.port)
}

// refuseTunnel answers CONNECT with the reason why there is no tunnel.
func (s *Server) refuseTunnel(c *connect, conn net.Conn, err error) {
	defer conn.Close()
	resp := s.failurePage(c.w.ex.in, err)
	resp.Close = true
	_ = resp.Write(conn)
}

// inspect looks at the first bytes of what may be intercepted, and passes
// through whatever is not TLS for HTTP by a client that trusts us.
func (s *Server) inspect(ctx context.Context, c *connect, conn net.Conn) {
	if !s.hijacked.add(conn) {
		return
	}
	defer s.hijacked.remove(conn)
	if _, err := io.WriteString(conn, established); err != nil {
		conn.Close()
		return
	}
	wait := silence
	if c.port == "443" {
		wait = silence443
	}
	head, hello, err := peekHello(conn, c.w.early, wait)
	if err != nil {
		conn.Close()
		return
	}
	if why := s.passes(c, hello); why != "" {
		s.log.Debug("tunnelled", "host", c.addr(), "why", why)
		s.dialTunnel(ctx, c, conn, head)
		return
	}
	s.intercept(ctx, c, conn, head, hello)
}

// passes says why a connection is tunnelled although its host is not; "" means
// that it is intercepted.
func (s *Server) passes(c *connect, h *clientHello) string {
	switch {
	case h == nil:
		return "not TLS"
	case !h.modern:
		return "client is older than TLS 1.2"
	case !h.speaksHTTP():
		return "not HTTP by ALPN"
	case h.serverName != "" && canonicalHost(h.serverName) != c.host:
		// The client has its own mind about the address (--connect-to, a
		// gateway): we could dial the one or verify the other, not both.
		return "server name differs from CONNECT host"
	case s.rules.learn && s.learnt.tunnels(s.party(c, h)):
		return "client refused our certificate before"
	}
	return ""
}

// dialTunnel is for clients that have had their 200 already: all that is left
// to say about a failure is to close.
func (s *Server) dialTunnel(ctx context.Context, c *connect, conn net.Conn, head []byte) {
	upstream, err := s.dial(ctx, "tcp", c.addr())
	if err != nil {
		s.log.Info("cannot tunnel", "host", c.addr(), "err", classify(err).text)
		conn.Close()
		return
	}
	s.tunnel(conn, upstream, head)
}

// tunnel joins the two until both have ended.
func (s *Server) tunnel(conn, upstream net.Conn, head []byte) {
	defer conn.Close()
	defer upstream.Close()
	if !s.hijacked.add(conn) || !s.hijacked.add(upstream) {
		return
	}
	defer s.hijacked.remove(conn)
	defer s.hijacked.remove(upstream)
	s.stats.tunnels.Add(1)
	if len(head) > 0 {
		if _, err := upstream.Write(head); err != nil {
			return
		}
	}
	relay(conn, upstream)
}
