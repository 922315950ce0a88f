package cluster

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"dtpx/cluster/internal/group"
	"dtpx/cluster/internal/port"
)

// Sharing of caches: HTTP/1.1 over authenticated streams of their own kind. What
// is asked and answered there is Options.Share's; this package knows only who is
// asking and whom to ask. LAN bytes cost nobody a quota.

// Sharer is a member that shares what it has cached.
type Sharer struct {
	ID      string // of its key; the name is what it calls itself
	Name    string
	Trusted bool   // its bytes count without an origin's digest (cluster.trust)
	Version uint64 // of its summary
	Via     http.RoundTripper
}

// Sharers are the members that share something now.
func (c *Cluster) Sharers() (all []Sharer) {
	s := c.current()
	if s == nil || !c.o.Borrow {
		return nil
	}
	for _, p := range s.ranked() {
		p.mu.Lock()
		version, alive := p.meta.Digest, p.alive
		p.mu.Unlock()
		if alive && version != 0 && !s.isBlocked(p.id) {
			all = append(all, Sharer{ID: p.id.String(), Name: p.name(), Trusted: s.trusts(p.id), Version: version, Via: p.cache})
		}
	}
	return all
}

// trusts reports whether a member's cached bytes count by themselves.
func (s *session) trusts(id group.NodeID) bool {
	return s.group.Trusted || s.c.o.Trust || slices.ContainsFunc(s.c.o.TrustNodes, func(k string) bool {
		return k != "" && strings.HasPrefix(id.String(), k)
	})
}

// cacheTransport asks a member for what it has cached.
func (p *peer) cacheTransport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return p.reach(ctx, group.Cache)
		},
		DisableCompression: true, MaxIdleConnsPerHost: 2, MaxConnsPerHost: 8, IdleConnTimeout: 30 * time.Second,
		ResponseHeaderTimeout: answerTime, MaxResponseHeaderBytes: answerMax,
	}
}

// sharing serves members from Options.Share.
type sharing struct {
	server *http.Server
	inbox  chan net.Conn
	closed chan struct{}
	once   sync.Once
	room   chan struct{} // holds a token for each stream
}

// shareConns bounds the streams of all members together.
const shareConns = 64

func newSharing(h http.Handler) *sharing {
	return &sharing{
		server: &http.Server{
			Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: answerMax,
		},
		inbox: make(chan net.Conn), closed: make(chan struct{}), room: make(chan struct{}, shareConns),
	}
}

func (s *sharing) enter() bool {
	select {
	case s.room <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *sharing) leave() { <-s.room }

// Accept, Close and Addr make it the server's listener.
func (s *sharing) Accept() (net.Conn, error) {
	select {
	case c := <-s.inbox:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *sharing) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *sharing) Addr() net.Addr { return &net.TCPAddr{} }

// run serves until stop.
func (s *sharing) run() { _ = s.server.Serve(s) }

func (s *sharing) stop() {
	s.Close()
	_ = s.server.Close()
}

// serve hands a member's stream to the server and waits for its end.
func (s *sharing) serve(ctx context.Context, c *port.Conn) {
	served := &servedConn{Conn: c, over: make(chan struct{})}
	select {
	case s.inbox <- served:
	case <-s.closed:
		c.Close()
		return
	}
	select {
	case <-served.over:
	case <-ctx.Done():
		c.Close()
	}
}

// servedConn tells when the server has done with it.
type servedConn struct {
	*port.Conn
	once sync.Once
	over chan struct{}
}

func (c *servedConn) Close() error {
	defer c.once.Do(func() { close(c.over) })
	return c.Conn.Close()
}
