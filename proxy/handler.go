package proxy

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// serveOuter is where every request on the listening port begins.
func (s *Server) serveOuter(w http.ResponseWriter, r *http.Request) {
	client := clientOf(r)
	if !s.allows(client) {
		s.refuse(w, r, problem{http.StatusForbidden, "http_request_denied",
			"this client's address is not allowed to use the proxy (allow: in proxy.yaml)"})
		return
	}
	switch {
	case r.Method == http.MethodConnect:
		s.serveConnect(w, r, client)
	case r.URL.IsAbs():
		s.serveAbsolute(w, r, client)
	default:
		s.serveSurface(w, r, client)
	}
}

// serveAbsolute is a plain proxy request: GET http://host/path.
func (s *Server) serveAbsolute(w http.ResponseWriter, r *http.Request, client Client) {
	if s.looped(r) {
		s.refuse(w, r, loopProblem)
		return
	}
	client, ok := s.authenticate(w, r, client)
	if !ok {
		return
	}
	if s.isSurface(r) {
		s.serveSurface(w, r, client)
		return
	}
	if problem, ok := checkTarget(r); !ok {
		s.refuse(w, r, problem)
		return
	}
	s.forward(w, r, client)
}

// serveIntercepted is a request inside TLS that we ended.
func (s *Server) serveIntercepted(w http.ResponseWriter, r *http.Request) {
	ses := r.Context().Value(sessionKey{}).(*session)
	ses.served.Store(true)
	s.learnt.accepted(ses.key)
	if r.Method == http.MethodConnect {
		s.refuse(w, r, problem{http.StatusBadRequest, "http_request_error", "CONNECT inside an intercepted connection"})
		return
	}
	r.URL.Scheme, r.URL.Host, r.URL.User = "https", ses.authority, nil
	if r.Host == "" { // HTTP/1.0
		r.Host = ses.authority
	}
	if !sameAuthority(r.Host, ses.authority) {
		// Another virtual host on the server that was asked for. It gets its
		// request as it stands, but a resource is known by its URL, and this
		// URL would lie.
		r.Header.Set(BypassField, "1")
	}
	s.forward(w, r, ses.client)
}

// checkTarget refuses URLs for which no request can be sent.
func checkTarget(r *http.Request) (problem, bool) {
	u := r.URL
	if u.Scheme != "http" && u.Scheme != "https" {
		return problem{http.StatusNotImplemented, "http_request_error", "only http and https can be proxied, not " + u.Scheme}, false
	}
	if u.Hostname() == "" || !validPort(u.Port(), true) {
		return problem{http.StatusBadRequest, "http_request_error", "the URL names no host or a bad port"}, false
	}
	// RFC 9110 §4.2.4: user information in a URL is an error or noise; the
	// Authorization field is how clients send it.
	u.User = nil
	return problem{}, true
}

// looped tells whether the request has passed this node before.
func (s *Server) looped(r *http.Request) bool {
	for _, line := range r.Header.Values(HopField) {
		for name := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(name) == s.hopName {
				return true
			}
		}
	}
	return false
}

var loopProblem = problem{http.StatusLoopDetected, "proxy_loop_detected",
	"the request came back to this proxy: its upstream leads to itself"}

// markHop leaves our name for hops that may come back and nothing for others:
// the field would tell origins who asks.
func (s *Server) markHop(out *http.Request) {
	if !s.guard.ownHost(out.URL.Hostname()) {
		out.Header.Del(HopField)
		return
	}
	out.Header.Add(HopField, s.hopName)
}

// allows applies Allow; nil is loopback only.
func (s *Server) allows(c Client) bool {
	if s.Allow == nil {
		return c.Loopback
	}
	for _, p := range s.Allow {
		if p.Contains(c.Addr) {
			return true
		}
	}
	return false
}

func clientOf(r *http.Request) Client {
	addr := addrOf(r.RemoteAddr)
	return Client{Addr: addr, Loopback: addr.IsLoopback()}
}

// addrOf reads the address of "ip:port", unmapped and without zone.
func addrOf(hostport string) netip.Addr {
	ap, err := netip.ParseAddrPort(hostport)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// localAddr is the address at which the client reached us.
func localAddr(ctx context.Context) netip.AddrPort {
	a, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return netip.AddrPort{}
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
