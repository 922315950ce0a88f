package proxy

import (
	"fmt"
	"net/http"
)

// servePAC gives browsers a configuration that goes on working when dtpx does
// not run: DIRECT comes second. It names dtpx as this client reached it.
func (s *Server) servePAC(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if name, _ := splitHost(r.Host); name == InternalHost {
		host = localAddr(r.Context()).String()
	}
	w.Header().Set("Content-Type", "application/x-ns-proxy-autoconfig")
	// host has passed ownName: an address or localhost, nothing to escape.
	fmt.Fprintf(w, `function FindProxyForURL(url, host) {
  if (host == %q) return "PROXY %s";
  if (isPlainHostName(host) || host == "127.0.0.1" || host == "[::1]" || host == "::1" ||
      dnsDomainIs(host, ".localhost") || dnsDomainIs(host, ".local"))
    return "DIRECT";
  return "PROXY %s; DIRECT";
}
`, InternalHost, host, host)
}
