// Package proxy speaks HTTP to the client: absolute-form requests, CONNECT
// (tunnelled or intercepted), upgrades, the dashboard and the API, on one port.
//
//	accept → allow → origin-form? → surface (dashboard, CA, PAC, API)
//	                 CONNECT?     → rules → tunnel, or TLS of ours → handler
//	                 otherwise    → goproxy pipeline → Transport → copy to client
//
// Everything that leaves goes through one [http.RoundTripper] (Server.Transport)
// or one dial function (Server.Dial); who the client is travels in the context.
//
// After the first byte the only honest failure is a broken connection: an
// error of the response body aborts the client's connection or stream, so that
// a cut body never looks whole. A client that refuses our certificate is
// tunnelled from its next try on; an origin whose certificate is bad is never.
//
// Not guaranteed: a request whose CONNECT host and TLS server name differ is
// not intercepted (it is tunnelled as it stands), and a TLS connection that
// carries something other than HTTP fails twice before it is tunnelled.
package proxy

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Via is what every response that passed through carries (RFC 9110 §7.6.3).
// Requests do not: nginx (gzip_proxied off) stops compressing for those.
const Via = "1.1 dtpx"

// BypassField asks not to accelerate and not to cache. It is left in for the
// Transport, which must remove it before the request goes out.
const BypassField = "Dtpx-Bypass"

// HopField carries the random names of the nodes that a request has passed, on
// hops to loopback and own addresses only, so that a node whose parent proxy
// is in the end itself notices. See Server.HopName.
const HopField = "Dtpx-Hop"

// InternalHost is the name under which the surface answers through the proxy.
const InternalHost = "dtpx.internal"

// DialFunc is the seam for everything that opens a byte stream.
type DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// Server is a forward proxy. Its exported fields are its configuration; set
// them before Serve and leave them alone afterwards.
type Server struct {
	// Transport answers every request that leaves. If it is a Hitter, it is asked
	// first what it has at hand. It gets absolute URLs,
	// no hop-by-hop fields (but "Connection: Upgrade" and "Te: trailers" where
	// the client asked for them), the client's context ([ClientFrom]), and
	// BypassField where the client sent it. It must neither decompress nor
	// follow redirects; it should have an ExpectContinueTimeout, and send
	// requests with Upgrade by HTTP/1.1 (net/http does so for WebSocket only).
	// Clients that are not on loopback must not share its connections with
	// those that are (see Guard). Nil means one for each over net/http's, without
	// a parent proxy.
	Transport http.RoundTripper

	// Dial opens tunnels; the context knows the client. Nil means a net.Dialer,
	// guarded for clients that are not on loopback.
	Dial DialFunc

	// TLS gives the configuration with which connections to host are
	// intercepted, offering h2 and http/1.1. Nil means never intercept.
	TLS func(host string) *tls.Config

	// Intercept says which hosts are intercepted.
	Intercept Intercept

	// Allow lists the clients that may connect; nil means loopback only.
	Allow []netip.Prefix

	// Users maps names to bcrypt hashes. When it is not empty, proxy requests
	// need Proxy-Authorization (Basic).
	Users map[string]string

	// PerClient bounds the requests and tunnels that one client, a user or an
	// address that is not on loopback, has at a time, and its connections to four
	// times as many; what is beyond is answered 429. 0 means DefaultPerClient,
	// less than 0 no bound.
	PerClient int

	// Guard keeps clients that are not on loopback away from this machine.
	// Server applies it to the names asked for; the addresses that names
	// resolve to are checked where they are dialled: put Guard.Control into
	// the net.Dialer that serves such clients. Addresses the Server listens
	// on are added by Serve.
	Guard *Guard

	// Token admits clients that are not on loopback to the API
	// (Authorization: Bearer). Empty means they are not admitted.
	Token string

	// CAPEM and CADER are the CA certificate that /ca.pem and /ca.der give
	// out. Never the key.
	CAPEM, CADER []byte

	// Node tells the API what goes on. Nil means empty answers.
	Node Node

	// ClientContext decorates the context of each request and dial with who
	// asked for it, in the words of the transport. May be nil.
	ClientContext func(ctx context.Context, client Client) context.Context

	// HopName is this node's random name in HopField; empty means that Serve
	// makes one. Whoever sends requests to a parent proxy on a loopback or own
	// address adds it there.
	HopName string

	// Log gets one line per failure at info or below; nil means silence.
	Log *slog.Logger

	// Now is the clock of everything that is remembered for a time; nil means
	// time.Now.
	Now func() time.Time

	state // what Serve builds; see serve.go
}

// Intercept is the choice between reading TLS and passing it through.
type Intercept struct {
	Enabled bool
	Only    []string // host globs; empty means all hosts
	Never   []string // host globs that are always tunnelled
	Learn   bool     // tunnel a host for a client that refuses our certificate

	// Known is what an earlier process had learnt: the answer of Tunnelled.
	Known []Tunnelled
}

// Tunnelled is one client program that refused our certificate for one host.
// It is what a person is shown, and what survives a restart.
type Tunnelled struct {
	Host      string     `json:"host"`
	Client    netip.Addr `json:"client"`
	UserAgent string     `json:"user_agent,omitempty"` // of the CONNECT request
	Shape     string     `json:"shape"`                // of the ClientHello
	Reason    string     `json:"reason"`
	Since     time.Time  `json:"since"`
}

// Node is what the dashboard, the API and /metrics show. The values are
// marshalled as JSON; each call may come from any goroutine.
type Node interface {
	Status() any
	Downloads() any
	Peers() any
	Cache() any
	WriteMetrics(w io.Writer)
}

// Doer is a Node that can also be told to do something: POST /api/v1/do/NAME, with
// the token only, from this machine as well. Its errors are shown to who asked.
type Doer interface {
	Do(ctx context.Context, name string, args url.Values) (result any, err error)
}

// Client is who sent a request.
type Client struct {
	Addr     netip.Addr // unmapped; invalid if the listener is not TCP
	User     string     // as authenticated; empty without Users
	Loopback bool       // on this machine
}

type clientKey struct{}

// ClientFrom tells who asked for what ctx belongs to.
func ClientFrom(ctx context.Context) (Client, bool) {
	c, ok := ctx.Value(clientKey{}).(Client)
	return c, ok
}

// withClient returns ctx knowing its client, in our words and the owner's.
func (s *Server) withClient(ctx context.Context, c Client) context.Context {
	ctx = context.WithValue(ctx, clientKey{}, c)
	if s.ClientContext != nil {
		ctx = s.ClientContext(ctx, c)
	}
	return ctx
}
