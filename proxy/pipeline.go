package proxy

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/elazarl/goproxy"
)

// newPipeline sets goproxy up: its handlers decide, the copying is its own, the
// sending and everything about TLS is ours. Interception by goproxy v1.9.2
// itself drops bytes sent right behind CONNECT, does not pass a client's leaving
// on, leaves Expect unanswered and refused handshakes unseen.
func (s *Server) newPipeline() *goproxy.ProxyHttpServer {
	p := goproxy.NewProxyHttpServer()
	p.Logger = goproxyLog{s.log}
	p.KeepAcceptEncoding = true
	// Nothing leaves through goproxy itself; these are in case a handler
	// forgets: its defaults skip verification and read the environment.
	p.Tr = &http.Transport{DisableCompression: true}
	p.ConnectDial = nil
	p.NonproxyHandler = http.NotFoundHandler()
	p.OnRequest().DoFunc(func(r *http.Request, ctx *goproxy.ProxyCtx) (*http.Request, *http.Response) {
		ctx.RoundTripper = goproxy.RoundTripperFunc(func(r *http.Request, _ *goproxy.ProxyCtx) (*http.Response, error) {
			return s.roundTrip(r), nil
		})
		return r, nil
	})
	p.OnRequest().HandleConnectFunc(s.decideConnect)
	return p
}

// goproxyLog takes goproxy's warnings.
type goproxyLog struct{ log *slog.Logger }

func (l goproxyLog) Printf(format string, v ...any) {
	l.log.Debug(strings.TrimSpace(fmt.Sprintf(format, v...)), "from", "goproxy")
}
