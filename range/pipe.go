package ranges

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"

	"golang.org/x/net/http/httpguts"

	"dtpx/internal/cork"
)

// pipeline is a Lane that takes the next request while the body of the answer
// before it is still coming: HTTP/1.1 pipelining (RFC 9112 §9.3.2), which
// http.Transport cannot do. Far away the server then sends on without the
// pause of a round trip, and its congestion window stays as it is.
type pipeline interface {
	Lane
	// Next returns a lane for one request that follows on the same connection,
	// or nil where the answer being read does not bear one. It takes the
	// receiver's place, which carries no other request.
	Next() Lane
	// Followed reports that the answer to the last request came behind another.
	Followed() bool
	// Balked reports that the host did not answer a request that followed
	// another as it should have, so that it was sent again by itself.
	Balked() bool
	// Took is how long the answer to the last request took from when it was
	// sent; 0 where it had to wait for another one.
	Took() time.Duration
}

// connector makes connections for pipes.
type connector struct {
	base *http.Transport // whose TLS and limits count
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// siteOf is what the requests of one connection have in common.
func siteOf(u *url.URL) string { return u.Scheme + "://" + u.Host }

// connect opens a connection for requests to u.
func (k connector) connect(ctx context.Context, u *url.URL) (*pipeConn, error) {
	host, err := httpguts.PunycodeHostPort(u.Host)
	if err != nil {
		return nil, err
	}
	at := &url.URL{Scheme: u.Scheme, Host: host}
	number := at.Port()
	if number == "" {
		number = map[string]string{"http": "80", "https": "443"}[at.Scheme]
	}
	conn, err := k.dial(ctx, "tcp", net.JoinHostPort(at.Hostname(), number))
	if err != nil {
		return nil, err
	}
	conn = cork.Quiet(conn)
	if at.Scheme == "https" {
		if conn, err = k.secure(ctx, conn, at.Hostname()); err != nil {
			return nil, err
		}
	}
	return newPipeConn(conn, siteOf(u), k.base.MaxResponseHeaderBytes), nil
}

// secure runs TLS to the origin over conn, checked as base says.
func (k connector) secure(ctx context.Context, conn net.Conn, host string) (net.Conn, error) {
	conf := &tls.Config{}
	if k.base.TLSClientConfig != nil {
		conf = k.base.TLSClientConfig.Clone()
	}
	conf.NextProtos = nil // HTTP/1.1 needs no ALPN
	c, err := shake(ctx, conn, conf, host, k.base.TLSHandshakeTimeout)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// shake runs TLS over conn, with host as the name unless conf says another one, in most
// if that is not 0. It closes conn if that fails.
func shake(ctx context.Context, conn net.Conn, conf *tls.Config, host string, most time.Duration) (*tls.Conn, error) {
	if conf = conf.Clone(); conf == nil {
		conf = &tls.Config{}
	}
	if conf.ServerName == "" {
		conf.ServerName = host
	}
	if most > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, most)
		defer cancel()
	}
	c := tls.Client(conn, conf)
	if err := c.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// pipe is a Lane of one connection at a time that does its HTTP/1.1 itself.
type pipe struct {
	connector
	c        *pipeConn
	ahead    *turn // whose answer comes before this lane's; nil once it is over
	mine     *turn // of the last request
	followed bool
	balked   bool
}

// RoundTrip implements Lane. A request that went out behind another one and
// was not answered, or on a kept connection that had ended meanwhile, is sent
// again on a new one: a slice changes nothing at the server.
func (l *pipe) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if c := l.c; c != nil && c.site == siteOf(req.URL) {
		resp, err := l.reuse(c, req)
		if err == nil || ctx.Err() != nil || !errors.As(err, new(*unanswered)) {
			return resp, err
		}
	}
	l.Close()
	l.followed = false
	c, err := l.connect(ctx, req.URL)
	if err != nil {
		return nil, err
	}
	l.c = c
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: c.Conn})
	}
	l.mine = c.begin(ctx)
	if err := c.write(req); err != nil {
		return nil, l.mine.fail(err)
	}
	return l.mine.answer(req)
}

// reuse sends req on a connection that has carried others.
func (l *pipe) reuse(c *pipeConn, req *http.Request) (*http.Response, error) {
	ahead := l.ahead
	l.ahead, l.followed = nil, ahead != nil
	if ahead != nil {
		return l.follow(c, ahead, req)
	}
	l.mine = c.begin(req.Context())
	if l.mine == nil || c.r.Buffered() > 0 { // it has brought what nobody asked for
		return nil, &unanswered{errEnded}
	}
	if err := c.write(req); err != nil {
		return nil, l.mine.fail(&unanswered{err})
	}
	resp, err := l.mine.answer(req)
	if err == nil && resp.StatusCode == http.StatusRequestTimeout { // said before, to nobody
		return nil, l.mine.fail(&unanswered{errEnded})
	}
	return resp, err
}

// follow sends req while the answer ahead is still being read, and waits for
// its turn.
func (l *pipe) follow(c *pipeConn, ahead *turn, req *http.Request) (*http.Response, error) {
	if err := c.write(req); err != nil {
		c.doom()
		return nil, &unanswered{err}
	}
	sent := time.Now()
	select {
	case <-ahead.over:
	case <-req.Context().Done():
		c.doom()
		return nil, req.Context().Err()
	}
	l.mine = c.begin(req.Context())
	if l.mine == nil {
		return nil, &unanswered{errEnded}
	}
	l.mine.sent = sent
	resp, err := l.mine.answer(req)
	if err != nil && req.Context().Err() == nil {
		l.balked = true
		err = &unanswered{err}
	}
	return resp, err
}

// Close implements Lane. An answer to somebody else's request that is still
// being read on the connection may end.
func (l *pipe) Close() {
	if l.mine != nil {
		l.mine.abort()
	}
	if l.c != nil {
		l.c.doom()
	}
	l.c, l.ahead, l.mine = nil, nil, nil
}

// Next implements pipeline.
func (l *pipe) Next() Lane {
	if l.c == nil {
		return nil
	}
	t, ok := l.c.bears()
	if !ok {
		return nil
	}
	return &pipe{connector: l.connector, c: l.c, ahead: t}
}

// Followed implements pipeline.
func (l *pipe) Followed() bool { return l.followed }

// Balked implements pipeline.
func (l *pipe) Balked() bool { return l.balked }

// Took implements pipeline.
func (l *pipe) Took() time.Duration {
	if l.mine == nil || l.followed {
		return 0
	}
	return l.mine.took
}

// unanswered is the error of a request of which nothing has come back, on a
// connection that had carried others.
type unanswered struct{ err error }

func (e *unanswered) Error() string { return e.err.Error() }
func (e *unanswered) Unwrap() error { return e.err }

var errEnded = errors.New("connection has ended")
