package proxy

import (
	"context"
	"net"
	"net/http"
	"time"
)

const (
	dialTime     = 30 * time.Second // more than three SYN retries
	answerTime   = 10 * time.Second // TLS handshakes have this long
	continueTime = 5 * time.Second  // then the body is sent unasked (RFC 9110 §10.1.1)
)

// defaultDial keeps clients that are not on loopback away from this machine.
func defaultDial(g *Guard) DialFunc {
	near := net.Dialer{Timeout: dialTime}
	far := net.Dialer{Timeout: dialTime, Control: g.Control}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if isNear(ctx) {
			return near.DialContext(ctx, network, addr)
		}
		return far.DialContext(ctx, network, addr)
	}
}

// defaultTransport has two pools, so that no client rides on a connection that
// it could not have opened.
type defaultTransport struct{ near, far http.RoundTripper }

func newDefaultTransport(g *Guard) http.RoundTripper {
	return defaultTransport{
		near: byUpgrade(net.Dialer{Timeout: dialTime}),
		far:  byUpgrade(net.Dialer{Timeout: dialTime, Control: g.Control}),
	}
}

func (t defaultTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Del(BypassField)
	if isNear(r.Context()) {
		return t.near.RoundTrip(r)
	}
	return t.far.RoundTrip(r)
}

func isNear(ctx context.Context) bool {
	c, ok := ClientFrom(ctx)
	return ok && c.Loopback
}

// upgradeTransport sends requests with Upgrade by HTTP/1.1: h2 has none.
type upgradeTransport struct{ any, h1 *http.Transport }

func byUpgrade(d net.Dialer) http.RoundTripper {
	transport := func(h2 bool) *http.Transport {
		return &http.Transport{
			DialContext: d.DialContext, ForceAttemptHTTP2: h2, DisableCompression: true,
			TLSHandshakeTimeout: answerTime, ExpectContinueTimeout: continueTime, IdleConnTimeout: 90 * time.Second,
		}
	}
	return upgradeTransport{any: transport(true), h1: transport(false)}
}

func (t upgradeTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Upgrade") != "" {
		return t.h1.RoundTrip(r)
	}
	return t.any.RoundTrip(r)
}

// CloseIdleConnections ends what Shutdown would leave open.
func (t upgradeTransport) CloseIdleConnections() {
	t.any.CloseIdleConnections()
	t.h1.CloseIdleConnections()
}

func (t defaultTransport) CloseIdleConnections() {
	for _, rt := range []http.RoundTripper{t.near, t.far} {
		rt.(upgradeTransport).CloseIdleConnections()
	}
}
