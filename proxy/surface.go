package proxy

import (
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzhttp"
)

// public is what clients that are not on loopback get without the token.
var public = []string{"/", "/ca.pem", "/ca.der", "/proxy.pac", "/healthz"}

// newSurface is what dtpx itself answers.
func (s *Server) newSurface() http.Handler {
	mux := http.NewServeMux()
	for path, h := range map[string]http.Handler{
		"/{$}":               s.dashboard(),
		"/ca.pem":            file("application/x-pem-file", "dtpx-ca.pem", s.CAPEM),
		"/ca.der":            file("application/x-x509-ca-cert", "dtpx-ca.crt", s.CADER),
		"/proxy.pac":         http.HandlerFunc(s.servePAC),
		"/healthz":           http.HandlerFunc(s.serveHealth),
		"/metrics":           http.HandlerFunc(s.serveMetrics),
		"/api/v1/events":     http.HandlerFunc(s.serveEvents),
		"/api/v1/{document}": http.HandlerFunc(s.serveDocument),
		"/api/v1/do/{name}":  http.HandlerFunc(s.serveDo),
	} {
		if path != "/api/v1/events" { // events are not held back for a compressor
			h = gzhttp.GzipHandler(h)
		}
		mux.Handle(path, h)
	}
	return mux
}

// serveSurface guards the surface: against web pages that make the user's
// browser ask (DNS rebinding, cross-site requests), and against neighbours.
func (s *Server) serveSurface(w http.ResponseWriter, r *http.Request, client Client) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	switch {
	case !s.ownName(r):
		s.refuse(w, r, problem{http.StatusMisdirectedRequest, "http_request_denied", "this is dtpx, a proxy; it answers for its own address, localhost and " + InternalHost + " only"})
	case !sameSite(r):
		s.refuse(w, r, problem{http.StatusForbidden, "http_request_denied", "requests from other sites are not answered"})
	case strings.HasPrefix(r.URL.Path, doPath):
		s.guardDo(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		s.refuse(w, r, problem{http.StatusMethodNotAllowed, "http_request_denied", "only GET and HEAD are answered here"})
	case !client.Loopback && !slices.Contains(public, r.URL.Path) && !s.hasToken(r):
		h.Set("WWW-Authenticate", `Bearer realm="dtpx"`)
		s.refuse(w, r, problem{http.StatusUnauthorized, "http_request_denied", "from another machine this needs the token in dtpx's state directory (Authorization: Bearer)"})
	default:
		s.surface.ServeHTTP(w, r)
	}
}

func (s *Server) hasToken(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer") && s.isToken(strings.TrimSpace(token))
}

func (s *Server) isToken(secret string) bool {
	return s.Token != "" && subtle.ConstantTimeCompare([]byte(secret), []byte(s.Token)) == 1
}

// ownName is the check against DNS rebinding: a page of evil.example that
// resolves to 127.0.0.1 still says evil.example.
func (s *Server) ownName(r *http.Request) bool {
	host, _ := splitHost(r.Host)
	if host == InternalHost || host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	return addr.IsLoopback() || addr == localAddr(r.Context()).Addr() || ownAddr(addr)
}

// isSurface tells whether an absolute-form request is for dtpx itself, by its
// own name or by an address that it listens on (which would be a loop).
func (s *Server) isSurface(r *http.Request) bool {
	if r.URL.Scheme != "http" {
		return false
	}
	host, port := splitHost(r.URL.Host)
	if host == InternalHost {
		return true
	}
	addr, ok := literal(host)
	n, err := strconv.ParseUint(port, 10, 16)
	return ok && err == nil && s.guard.Own(netip.AddrPortFrom(embedded(addr), uint16(n)))
}

// splitHost splits a Host field; port is "80" where there is none.
func splitHost(hostport string) (host, port string) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host, port = hostport, "80"
	}
	return canonicalHost(host), port
}

// sameSite lets in what browsers send for our own pages, for an address typed
// or a link followed, and what programs send (no such fields).
func sameSite(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" || !strings.EqualFold(u.Host, r.Host) {
			return false
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	// Following a link to a page that holds nothing private is harmless;
	// framing it is not allowed by its CSP.
	return r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" &&
		slices.Contains(public, r.URL.Path)
}

func file(contentType, name string, data []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(data) == 0 {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
		_, _ = w.Write(data)
	})
}
