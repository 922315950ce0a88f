package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	xproxy "golang.org/x/net/proxy"

	"dtpx/cmd/dtpx/internal/config"
	"dtpx/internal/cork"
	"dtpx/proxy"
)

// outbound is how this machine reaches origins: directly, or through a parent
// proxy, trusting the system's roots and perhaps some more.
type outbound struct {
	roots    *x509.CertPool
	upstream *url.URL
	hop      string // marks requests to a parent proxy on this machine, so that loops are noticed; else ""
	sessions tls.ClientSessionCache
}

func newOutbound(cfg config.Config, hop string) (*outbound, error) {
	o := &outbound{sessions: tls.NewLRUClientSessionCache(512)}
	if cfg.Upstream != "" {
		u, err := url.Parse(cfg.Upstream)
		if err != nil {
			return nil, errors.New("upstream is no URL") // the text may hold a password
		}
		o.upstream = u
		if onThisMachine(u.Hostname()) {
			o.hop = hop
		}
	}
	if cfg.UpstreamCA == "" {
		return o, nil
	}
	pem, err := os.ReadFile(cfg.UpstreamCA)
	if err != nil {
		return nil, fmt.Errorf("read upstream_ca: %w", err)
	}
	if o.roots, err = x509.SystemCertPool(); err != nil {
		o.roots = x509.NewCertPool()
	}
	if !o.roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("upstream_ca: no certificate in %s", cfg.UpstreamCA)
	}
	return o, nil
}

// onThisMachine reports that host is a loopback name or one of our addresses.
func onThisMachine(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	own, _ := net.InterfaceAddrs()
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
			return true
		}
	}
	return ip.IsLoopback()
}

func (o *outbound) tlsConfig() *tls.Config {
	return &tls.Config{RootCAs: o.roots, MinVersion: tls.VersionTLS12, ClientSessionCache: o.sessions}
}

// transport makes a connection pool of its own. It neither decompresses nor
// follows the environment's proxy.
func (o *outbound) transport(dial proxy.DialFunc) *http.Transport {
	t := &http.Transport{
		DialContext:           quietly(dial),
		TLSClientConfig:       o.tlsConfig(),
		ForceAttemptHTTP2:     true,
		DisableCompression:    true,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   15 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	if o.upstream != nil {
		t.Proxy = http.ProxyURL(o.upstream)
		t.ProxyConnectHeader = o.hopHeader()
	}
	return t
}

// quietly makes what dial connects cost less while it waits. Only what nobody
// splices may be wrapped.
func quietly(dial proxy.DialFunc) proxy.DialFunc {
	if dial == nil {
		return nil
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return cork.Quiet(c), nil
	}
}

func (o *outbound) hopHeader() http.Header {
	h := http.Header{}
	if o.hop != "" {
		h.Set(proxy.HopField, o.hop)
	}
	return h
}

// tunnel dials addr for a client whose bytes are passed through unread.
func (o *outbound) tunnel(dial proxy.DialFunc) proxy.DialFunc {
	if o.upstream == nil {
		return dial
	}
	if o.upstream.Scheme == "socks5" || o.upstream.Scheme == "socks5h" {
		return o.viaSocks(dial)
	}
	return func(ctx context.Context, _, addr string) (net.Conn, error) { return o.viaConnect(ctx, dial, addr) }
}

// contextDialer is a DialFunc as x/net/proxy wants it.
type contextDialer struct{ dial proxy.DialFunc }

func (d contextDialer) Dial(network, addr string) (net.Conn, error) {
	return d.dial(context.Background(), network, addr)
}

func (d contextDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return d.dial(ctx, network, addr)
}

func (o *outbound) viaSocks(dial proxy.DialFunc) proxy.DialFunc {
	var auth *xproxy.Auth
	if u := o.upstream.User; u != nil {
		password, _ := u.Password()
		auth = &xproxy.Auth{User: u.Username(), Password: password}
	}
	d, err := xproxy.SOCKS5("tcp", hostPort(o.upstream, "1080"), auth, contextDialer{dial})
	if err != nil {
		return func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
	return d.(xproxy.ContextDialer).DialContext
}

func hostPort(u *url.URL, port string) string {
	if p := u.Port(); p != "" {
		port = p
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// viaConnect asks the parent proxy for a tunnel (RFC 9110 §9.3.6).
func (o *outbound) viaConnect(ctx context.Context, dial proxy.DialFunc, addr string) (net.Conn, error) {
	port := "80"
	if o.upstream.Scheme == "https" {
		port = "443"
	}
	conn, err := dial(ctx, "tcp", hostPort(o.upstream, port))
	if err != nil {
		return nil, &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err} // as net/http calls it
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if o.upstream.Scheme == "https" {
		c := o.tlsConfig()
		c.ServerName = o.upstream.Hostname()
		conn = tls.Client(conn, c)
	}
	tunnelled, err := o.connect(conn, addr)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("parent proxy: %w", err)
	}
	return tunnelled, nil
}

func (o *outbound) connect(conn net.Conn, addr string) (net.Conn, error) {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr,
		Header: o.hopHeader()}
	req.Header.Set("User-Agent", "") // or Go adds its own
	if u := o.upstream.User; u != nil {
		password, _ := u.Password()
		cred := base64.StdEncoding.EncodeToString([]byte(u.Username() + ":" + password))
		req.Header.Set("Proxy-Authorization", "Basic "+cred)
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %s", resp.Status)
	}
	if r.Buffered() == 0 {
		return conn, nil
	}
	return &prefixed{Conn: conn, r: r}, nil
}

// prefixed is a connection whose first bytes have been read already.
type prefixed struct {
	net.Conn
	r *bufio.Reader
}

func (p *prefixed) Read(b []byte) (int, error) { return p.r.Read(b) }
