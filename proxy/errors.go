package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// problem is why there is no response: for people, and for programs as an
// error type of RFC 9209 §2.3.
type problem struct {
	status int
	kind   string
	text   string
}

// classify tells which problem an error of the transport or the dialer is. The
// text is ours throughout: errors may hold URLs with secrets.
func classify(err error) problem {
	if p, ok := parentProblem(err); ok {
		return p
	}
	return originProblem(err)
}

// parentProblem is one with the parent proxy, as net/http marks it.
func parentProblem(err error) (problem, bool) {
	const parent = "the parent proxy (upstream in the config file) "
	var op *net.OpError
	switch {
	case strings.Contains(err.Error(), http.StatusText(http.StatusProxyAuthRequired)):
		return problem{http.StatusBadGateway, "http_response_error", parent + "wants other credentials than dtpx has"}, true
	case errors.As(err, &op) && op.Op == "proxyconnect":
		p := originProblem(op.Err)
		p.text = parent + "failed: " + strings.NewReplacer("the origin's", "its", "the origin", "it").Replace(p.text)
		return p, true
	}
	return problem{}, false
}

func originProblem(err error) problem {
	for _, look := range []func(error) (problem, bool){policyProblem, certProblem, tlsProblem, dnsProblem, connProblem} {
		if p, ok := look(err); ok {
			return p
		}
	}
	return problem{http.StatusBadGateway, "proxy_internal_response", "the origin could not be asked"}
}

func policyProblem(err error) (problem, bool) {
	if errors.Is(err, ErrForbidden) {
		return problem{http.StatusForbidden, "destination_ip_prohibited",
			"this address is not reachable through the proxy: it is the proxy's own machine or a link-local one"}, true
	}
	return problem{}, false
}

func certProblem(err error) (problem, bool) {
	text := ""
	var (
		verify  *tls.CertificateVerificationError
		invalid x509.CertificateInvalidError
		host    x509.HostnameError
		unknown x509.UnknownAuthorityError
		roots   x509.SystemRootsError
	)
	switch {
	case errors.As(err, &invalid):
		text = invalidText(invalid)
	case errors.As(err, &host):
		text = "the origin's certificate is for another host" + namesOf(host.Certificate)
	case errors.As(err, &unknown):
		text = "the origin's certificate is signed by an unknown authority (unknown root)"
		if errors.As(err, &verify) && selfSigned(verify.UnverifiedCertificates) {
			text = "the origin's certificate is self-signed"
		}
	case errors.As(err, &roots):
		text = "this system has no root certificates to verify the origin with"
	case errors.As(err, &verify):
		text = "the origin's certificate could not be verified"
	default:
		return problem{}, false
	}
	return problem{http.StatusBadGateway, "tls_certificate_error", text}, true
}

func invalidText(e x509.CertificateInvalidError) string {
	switch {
	case e.Reason == x509.Expired && e.Cert != nil && time.Now().Before(e.Cert.NotBefore):
		return "the origin's certificate is not valid before " + e.Cert.NotBefore.Format(time.DateOnly) + " (is this machine's clock right?)"
	case e.Reason == x509.Expired && e.Cert != nil:
		return "the origin's certificate expired on " + e.Cert.NotAfter.Format(time.DateOnly)
	case e.Reason == x509.IncompatibleUsage:
		return "the origin's certificate is not meant for a server"
	case e.Reason == x509.NotAuthorizedToSign:
		return "the origin's certificate was signed by one that is no authority"
	}
	return "the origin's certificate is not valid"
}

func namesOf(c *x509.Certificate) string {
	if c == nil || len(c.DNSNames) == 0 {
		return ""
	}
	return ": it names " + strings.Join(c.DNSNames[:min(3, len(c.DNSNames))], ", ")
}

func selfSigned(chain []*x509.Certificate) bool {
	return len(chain) > 0 && bytes.Equal(chain[0].RawIssuer, chain[0].RawSubject)
}

func tlsProblem(err error) (problem, bool) {
	var record tls.RecordHeaderError
	text := ""
	switch s := err.Error(); {
	case errors.As(err, &record):
		text = "the origin does not speak TLS on this port"
	case strings.Contains(s, "server selected unsupported protocol version"), strings.Contains(s, "protocol version not supported"):
		text = "the origin's TLS is too old: dtpx wants TLS 1.2 or later"
	case strings.Contains(s, "remote error: tls:"):
		text = "the origin refused the TLS handshake"
		if _, alert, ok := strings.Cut(s, "remote error: tls: "); ok {
			text += " (" + alert + ")"
		}
	case strings.Contains(s, "TLS handshake timeout"):
		return problem{http.StatusGatewayTimeout, "connection_timeout", "the origin did not finish the TLS handshake in time"}, true
	case strings.Contains(s, "tls: "):
		text = "TLS with the origin failed"
	default:
		return problem{}, false
	}
	return problem{http.StatusBadGateway, "tls_protocol_error", text}, true
}

func dnsProblem(err error) (problem, bool) {
	var dns *net.DNSError
	switch {
	case !errors.As(err, &dns):
		return problem{}, false
	case dns.IsTimeout:
		return problem{http.StatusGatewayTimeout, "dns_timeout", "DNS failure: no answer for " + dns.Name + " in time"}, true
	case dns.IsNotFound:
		return problem{http.StatusBadGateway, "dns_error", "DNS failure: there is no host " + dns.Name}, true
	}
	return problem{http.StatusBadGateway, "dns_error", "DNS failure: " + dns.Name + " cannot be looked up"}, true
}

func connProblem(err error) (problem, bool) {
	var netErr net.Error
	s := err.Error()
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(s, "refused"): // Windows has its own number for it
		return problem{http.StatusBadGateway, "connection_refused", "connection refused: nothing listens there"}, true
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), strings.Contains(s, "unreachable"):
		return problem{http.StatusBadGateway, "destination_ip_unroutable", "there is no way to the origin from this network"}, true
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return problem{http.StatusGatewayTimeout, "connection_timeout", "timeout: the origin did not answer in time"}, true
	case errors.Is(err, context.Canceled):
		return problem{http.StatusBadGateway, "connection_terminated", "the client left"}, true
	case strings.Contains(s, "malformed"), strings.Contains(s, "unsupported transfer encoding"), strings.Contains(s, "exceeded"),
		strings.Contains(s, "Content-Length"):
		return problem{http.StatusBadGateway, "http_protocol_error", "the origin's answer is not valid HTTP"}, true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		strings.Contains(s, "server closed idle connection"), strings.Contains(s, "reset"),
		strings.Contains(s, "stream error"), strings.Contains(s, "GOAWAY"): // net/http exports no types for its HTTP/2
		return problem{http.StatusBadGateway, "connection_terminated", "the origin closed the connection before it answered"}, true
	}
	return problem{}, false
}

func (p problem) String() string { return fmt.Sprintf("%d %s", p.status, p.text) }
