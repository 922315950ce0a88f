package main

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"time"

	"dtpx/cache"
	"dtpx/internal/traffic"
	"dtpx/proxy"
	ranges "dtpx/range"
)

// router is the http.RoundTripper and dialler of the proxy: it chooses the
// route by who asks, and honours the wish to be left alone.
type router struct {
	local, remote *route
	guard         *proxy.Guard
	hop           string // added for a parent proxy on this machine; "" otherwise
}

const dialTimeout = 15 * time.Second

func newRouter(o *outbound, e *ranges.Engine, c *cache.Cache, g *proxy.Guard, t *traffic.Meter) *router {
	plain := t.Watch((&net.Dialer{Timeout: dialTimeout}).DialContext)
	guarded := t.Watch((&net.Dialer{Timeout: dialTimeout, Control: g.Control}).DialContext)
	r := &router{guard: g, local: newRoute(o, e, c, "local", plain), remote: newRoute(o, e, c, "remote", guarded)}
	if o.upstream != nil { // the parent proxy is the owner's choice wherever it is
		r.remote = newRoute(o, e, c, "remote", plain)
		r.hop = o.hop
	}
	return r
}

func (r *router) route(ctx context.Context) *route {
	if c, ok := proxy.ClientFrom(ctx); ok && !c.Loopback {
		return r.remote
	}
	return r.local
}

// admit guards a parent proxy on this machine: what it dials for a client that
// is not on loopback cannot be checked where it is dialled, so names are
// resolved here. One that only the parent can resolve is left to it.
func (r *router) admit(ctx context.Context, hostport string) error {
	if r.hop == "" || r.route(ctx) == r.local {
		return nil
	}
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	addrs, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	for _, a := range addrs {
		if err := r.guard.Check(netip.AddrPortFrom(a, 0)); err != nil {
			return err
		}
	}
	return nil
}

// RoundTrip implements http.RoundTripper.
func (r *router) RoundTrip(req *http.Request) (*http.Response, error) {
	way := r.route(req.Context())
	bypass := req.Header.Get(proxy.BypassField)
	if err := r.admit(req.Context(), req.URL.Host); err != nil {
		return nil, err
	}
	if bypass != "" || r.hop != "" {
		req = req.WithContext(req.Context()) // shallow: a deep copy would lose the trailers of an upload
		req.Header = req.Header.Clone()
		req.Header.Del(proxy.BypassField)
		if r.hop != "" && req.URL.Scheme == "http" {
			req.Header.Add(proxy.HopField, r.hop)
		}
	}
	// What is no read is not kept or accelerated in any case, but may end what is
	// stored (RFC 9111 §4.4), whoever wants to be left alone.
	reads := req.Method == http.MethodGet || req.Method == http.MethodHead
	switch upgrades := req.Header.Get("Upgrade") != ""; {
	case upgrades && reads:
		return way.upgrade.RoundTrip(req)
	case upgrades:
		return way.change.RoundTrip(req)
	case req.Body != nil && req.Body != http.NoBody:
		return way.withContent(req)
	case bypass == "1" && reads:
		return way.base.RoundTrip(req)
	}
	resp, err := way.fetch.RoundTrip(req)
	way.h2.learn(req, resp)
	return resp, err
}

// Hit implements proxy.Hitter.
func (r *router) Hit(req *http.Request, h http.Header) *http.Response {
	hits, ok := r.route(req.Context()).fetch.(*cache.Transport)
	if !ok || r.hop != "" || req.Header.Get(proxy.BypassField) != "" {
		return nil
	}
	return hits.Hit(req, h)
}

// Dial opens a tunnel for the client of ctx.
func (r *router) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := r.admit(ctx, addr); err != nil {
		return nil, err
	}
	return r.route(ctx).dial(ctx, network, addr)
}

func (r *router) close() {
	for _, w := range []*route{r.local, r.remote} {
		w.base.CloseIdleConnections()
		w.upgrade.CloseIdleConnections()
		w.content.CloseIdleConnections()
	}
}

// clientContext names the client for the engine.
func clientContext(ctx context.Context, c proxy.Client) context.Context {
	name := "unknown"
	switch {
	case c.User != "":
		name = c.User + "@" + c.Addr.String()
	case c.Addr != netip.Addr{}:
		name = c.Addr.String()
	}
	return ranges.WithClient(ctx, ranges.Client{Name: name, Account: c.User})
}
