package proxy

import (
	"context"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// hopFields concern one connection only (RFC 9110 §7.6.1), listed in
// Connection or not. Proxy-Connection is what old clients send to proxies.
var hopFields = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
}

// endToEnd are fields that a Connection field cannot take away: naming them
// there is how requests are bent on their way (RFC 9110 §7.6.1).
var endToEnd = []string{
	"Host", "Content-Length", "Content-Range", "Range", "If-Range", "Authorization", "Cookie", "Cache-Control",
	BypassField, HopField,
}

// removeHopFields deletes what is not to be passed on.
func removeHopFields(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
			if name != "" && !slices.Contains(endToEnd, name) {
				delete(h, name)
			}
		}
	}
	for _, name := range hopFields {
		delete(h, name)
	}
}

// upgradeOf tells to which protocol the client wants to switch. h2c is not
// for proxies: RFC 9113 §3.1 has withdrawn it, and it would only hide requests
// from us.
func upgradeOf(r *http.Request) string {
	h := r.Header
	// HTTP/1.0 has no Upgrade (RFC 9110 §7.8), nor has h2.
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 || !hasToken(h["Connection"], "upgrade") {
		return ""
	}
	protocol := strings.TrimSpace(h.Get("Upgrade"))
	if strings.EqualFold(protocol, "h2c") || strings.ContainsFunc(protocol, notPrintable) {
		return ""
	}
	return protocol
}

func notPrintable(r rune) bool { return r < ' ' || r > '~' }

// hasToken looks for a token in a comma-separated field.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for t := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(t, ";")
			if strings.EqualFold(strings.TrimSpace(name), token) {
				return true
			}
		}
	}
	return false
}

// outgoing is r as it leaves: same body, own header map. The trailer map is
// shared on purpose: net/http fills it when the body ends.
func (s *Server) outgoing(ctx context.Context, r *http.Request) *http.Request {
	out := r.WithContext(ctx)
	out.Header = r.Header.Clone()
	u := *r.URL
	u.Fragment, u.RawFragment = "", ""
	out.URL = &u
	out.Close = r.ContentLength != 0 && contentIsOdd(r.Method)
	removeHopFields(out.Header)
	if hasToken(r.Header["Te"], "trailers") {
		out.Header.Set("Te", "trailers") // gRPC servers insist on it
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{""} // or net/http adds its own
	}
	s.markHop(out)
	return out
}

// contentIsOdd names methods whose content has no meaning (RFC 9110 §9.3.1, §9.3.2,
// §9.3.5). A server that does not read it takes it for the next request on the
// connection: that must not be another client's, who would get, and the cache keep,
// the answer to what the first one has hidden there (request smuggling).
func contentIsOdd(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodDelete
}

// bodyless tells which responses have no content whatever their fields say
// (RFC 9110 §6.4.1).
func bodyless(method string, status int) bool {
	return method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified || status < 200
}

// spendForward counts Max-Forwards down (RFC 9110 §7.6.2); false means that the
// request ends here.
func spendForward(r *http.Request) bool {
	if r.Method != http.MethodTrace && r.Method != http.MethodOptions {
		return true
	}
	n, err := strconv.ParseUint(r.Header.Get("Max-Forwards"), 10, 31)
	if err != nil {
		return true // there is none, or none that means anything
	}
	if n == 0 {
		return false
	}
	r.Header.Set("Max-Forwards", strconv.FormatUint(n-1, 10))
	return true
}
