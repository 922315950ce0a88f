package ranges

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// Kinds of sources, as the list of downloads shows them.
const (
	KindDirect    = "direct"
	KindInterface = "interface"
	KindCache     = "cache"
)

// direct reaches the origin as the client's own request did.
type direct struct {
	base *http.Transport
	dial func(ctx context.Context, network, addr string) (net.Conn, error) // nil = base's
	kind string
	name string
}

// NewInterface returns a source that reaches origins through the named network
// interface of this machine whatever the default route is. base models its
// connections; a parent proxy of base is not used. It returns an error where
// the interface is unknown or the system cannot bind to one.
func NewInterface(base *http.Transport, name string) (Source, error) {
	ifc, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	control, err := bindControl(ifc)
	if err != nil {
		return nil, err
	}
	b := base.Clone()
	b.Proxy = nil
	d := &net.Dialer{Timeout: dialTimeout, Control: control}
	return &direct{base: b, dial: d.DialContext, kind: KindInterface, name: name}, nil
}

const dialTimeout = 10 * time.Second

func (s *direct) Kind() string {
	if s.kind == "" {
		return KindDirect
	}
	return s.kind
}

func (s *direct) Name() string { return s.name }

// oneConn models the transport of a lane on base: a connection of its own, and
// HTTP/1.1, because slices on one h2 connection would share one TCP connection
// and its throttle.
func oneConn(base *http.Transport) *http.Transport {
	tr := base.Clone()
	tr.ForceAttemptHTTP2 = false
	tr.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetHTTP1(true)
	tr.DisableKeepAlives = false
	tr.DisableCompression = true
	tr.MaxConnsPerHost, tr.MaxIdleConnsPerHost = 1, 1
	tr.IdleConnTimeout = 30 * time.Second
	if tr.TLSClientConfig != nil {
		tr.TLSClientConfig.NextProtos = nil
	}
	return tr
}

func (s *direct) Lane(t Target) Lane {
	dial := s.base.DialContext
	if s.dial != nil {
		dial = s.dial
	}
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if way := dial; t.Edge.IsValid() {
		edge := t.Edge.String()
		dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return way(ctx, network, edge)
		}
	}
	if s.bare(t) {
		return &pipe{connector: connector{s.base, dial}}
	}
	tr := oneConn(s.base)
	tr.DialContext = dial
	return connLane{tr}
}

// bare reports that nothing but dial and TLS leads to t: no parent proxy.
func (s *direct) bare(t Target) bool {
	if s.base.Proxy != nil {
		if u, err := s.base.Proxy(&http.Request{URL: t.URL, Header: http.Header{}}); u != nil || err != nil {
			return false
		}
	}
	//lint:ignore SA1019 a base that has it connects by it
	return s.base.DialTLSContext == nil && s.base.DialTLS == nil && s.base.Dial == nil
}

// connLane is a Lane of one connection.
type connLane struct{ tr *http.Transport }

func (l connLane) RoundTrip(req *http.Request) (*http.Response, error) { return l.tr.RoundTrip(req) }
func (l connLane) Close()                                              { l.tr.CloseIdleConnections() }
