package main

import (
	"net/http"
	"sync"

	"dtpx/cache"
	"dtpx/proxy"
	ranges "dtpx/range"
)

// route is the way of one kind of client: its own connection pool, because a
// connection to this machine's loopback must not be reused for a client that
// may not dial it.
type route struct {
	base    *http.Transport
	upgrade *http.Transport   // HTTP/1.1 only: other protocols cannot be switched
	content *http.Transport   // for requests with content, see withContent
	fetch   http.RoundTripper // the cache before the engine, or the engine alone
	change  http.RoundTripper // the same in front of upgrade, for requests that may change something: they are noted
	write   http.RoundTripper // the same in front of content
	dial    proxy.DialFunc    // for tunnels
	h2      multiplexed
}

func newRoute(o *outbound, e *ranges.Engine, c *cache.Cache, realm string, dial proxy.DialFunc) *route {
	base := o.transport(dial)
	own := ranges.Framed(base)
	up := base.Clone()
	up.ForceAttemptHTTP2 = false
	up.Protocols = new(http.Protocols)
	up.Protocols.SetHTTP1(true)
	over := func(pool, own *http.Transport) http.RoundTripper {
		engine := &ranges.Transport{Base: pool, Own: own, Engine: e, Realm: realm}
		if c == nil {
			return engine
		}
		return &cache.Transport{Cache: c, Next: engine, Realm: realm, Watch: e.Cached}
	}
	content := o.transport(dial)
	return &route{
		base: own, upgrade: up, content: content, dial: o.tunnel(dial),
		fetch: over(base, own), change: over(up, nil), write: over(content, nil),
	}
}

// withContent sends a request with content. A server that does not read that takes it
// for the next request on the connection, or for the beginning of one that what comes
// next completes (request smuggling, RFC 9112 §11.2): what comes next on an HTTP/1.1
// connection that has carried content is therefore never a request whose answer is
// kept for all, or given to another client. HTTP/2 knows where a request ends, and
// needs no connection more.
func (w *route) withContent(req *http.Request) (*http.Response, error) {
	way := w.write
	if w.h2.has(req) {
		way = w.fetch
	}
	resp, err := way.RoundTrip(req)
	if err == nil && resp.ProtoMajor < 2 {
		w.h2.forget(req)
	}
	w.h2.learn(req, resp)
	return resp, err
}

// multiplexed are the origins that have answered by HTTP/2. It is safe for concurrent
// use.
type multiplexed struct {
	mu sync.Mutex // guards what follows
	at map[string]bool
}

const multiplexedMax = 4096

func (m *multiplexed) has(req *http.Request) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at[req.URL.Scheme+req.URL.Host]
}

// learn notes how req was answered, if it was.
func (m *multiplexed) learn(req *http.Request, resp *http.Response) {
	if resp == nil || resp.ProtoMajor != 2 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at == nil || len(m.at) >= multiplexedMax {
		m.at = map[string]bool{}
	}
	m.at[req.URL.Scheme+req.URL.Host] = true
}

func (m *multiplexed) forget(req *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.at, req.URL.Scheme+req.URL.Host)
}
