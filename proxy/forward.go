package proxy

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"sync"
)

// exchange is one request on its way through the pipeline.
type exchange struct {
	in      *http.Request
	w       http.ResponseWriter
	upgrade string // the protocol that the client wants to switch to
	upload  *requestBody

	interim sync.Mutex // orders 1xx responses before the final one
	settled bool       // guarded by interim: the final response is there

	stream   bool           // flush the header before the body begins, and each piece
	hand     bool           // the body is at hand: no reading of it waits
	known    bool           // the response says how long it is
	failed   error          // what broke the response body
	switched *http.Response // 101: the connection now speaks something else
}

type exchangeKey struct{}

// forward sends the request through the pipeline and copies the answer. It
// breaks the connection where the answer broke.
func (s *Server) forward(w http.ResponseWriter, r *http.Request, client Client) {
	leave, ok := s.seat(w, r, client)
	if !ok {
		return
	}
	defer leave()
	s.stats.requests.Add(1)
	if err := s.guardTarget(client, r.URL.Host); err != nil {
		s.refuse(w, r, classify(err))
		return
	}
	if !spendForward(r) {
		w.Header().Set("Via", Via)
		w.WriteHeader(http.StatusOK) // the last recipient, with nothing to tell
		return
	}
	ex := &exchange{in: r, w: w, upgrade: upgradeOf(r)}
	ctx := s.withClient(r.Context(), client)
	out := s.outgoing(ctx, r)
	if s.answerAtHand(ex, out) {
		return
	}
	ctx = context.WithValue(ctx, exchangeKey{}, ex)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: ex.inform})
	out = out.WithContext(ctx)
	if ex.upgrade != "" {
		out.Header.Set("Connection", "Upgrade")
		out.Header.Set("Upgrade", ex.upgrade)
	}
	body := guardBody(out)
	ex.upload = body
	defer body.Close()
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		// An origin may answer before it has read everything, and so may we.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	s.pipeline.ServeHTTP(&responseWriter{ResponseWriter: w, ex: ex}, out)
	switch {
	case ex.switched != nil:
		s.switchProtocols(w, r, ex.switched)
	case ex.failed != nil:
		s.abort(r, ex)
	case r.ProtoMajor == 1 && ex.known:
		body.drain(w)
	case r.ProtoMajor == 1 || ex.known:
		body.linger(w)
	}
}

func (s *Server) guardTarget(c Client, host string) error {
	if c.Loopback {
		return nil
	}
	return s.guard.CheckHost(host)
}

// roundTrip is where the pipeline meets the Transport. It never fails: an
// error before the first byte is a page that says why.
func (s *Server) roundTrip(out *http.Request) *http.Response {
	ex := out.Context().Value(exchangeKey{}).(*exchange)
	if ex.upgrade != "" {
		out.Header.Set("Connection", "Upgrade") // goproxy removes it but for WebSocket
	}
	resp, err := s.transport.RoundTrip(out)
	ex.settle()
	if err != nil {
		return s.failurePage(ex.in, err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols && ex.upgrade == "" {
		// Taking it would let an origin leave HTTP on a connection whose client
		// stays with it.
		ex.release(resp.Body)
		return s.page(ex.in, problem{http.StatusBadGateway, "http_protocol_error", "the origin switched protocols without being asked"})
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		ex.switched = resp
		return &http.Response{StatusCode: resp.StatusCode, Header: http.Header{}, Body: http.NoBody}
	}
	if resp.StatusCode == http.StatusProxyAuthRequired {
		// Hop by hop: it is us whom the parent proxy asks.
		ex.release(resp.Body)
		return s.page(ex.in, problem{http.StatusBadGateway, "http_response_error", "the parent proxy (upstream in the config file) wants other credentials than dtpx has"})
	}
	s.prepare(ex, resp)
	return resp
}

// prepare turns an origin's response into ours, in place: the transport fills
// resp.Trailer of this very struct when the body ends.
func (s *Server) prepare(ex *exchange, resp *http.Response) {
	removeHopFields(resp.Header)
	resp.Header.Add("Via", Via)
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if _, ok := resp.Header["Content-Type"]; !ok {
		resp.Header["Content-Type"] = nil // or net/http guesses one
	}
	if bodyless(ex.in.Method, resp.StatusCode) {
		ex.known = true
		resp.Body = &responseBody{ReadCloser: resp.Body, ex: ex, want: -1}
		return
	}
	if resp.ContentLength >= 0 {
		resp.Header.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	} else {
		resp.Header.Del("Content-Length")
	}
	ex.known = resp.ContentLength >= 0
	if ex.known && ex.in.ProtoMajor == 1 && len(resp.Trailer) > 0 && hasToken(ex.in.Header["Te"], "trailers") {
		// HTTP/1.1 has trailers only behind chunks, and this client wants them.
		resp.Header.Del("Content-Length")
		ex.known = false
	}
	// Small bodies travel in one packet with their header.
	ex.stream = !ex.known || resp.ContentLength > smallBody
	resp.Body = &responseBody{ReadCloser: resp.Body, ex: ex, want: resp.ContentLength, trailer: resp.Trailer}
}

const smallBody = 16 << 10

// inform passes 1xx responses on (100 Continue, 103 Early Hints).
func (ex *exchange) inform(code int, header textproto.MIMEHeader) error {
	ex.interim.Lock()
	defer ex.interim.Unlock()
	// RFC 9110 §15.2: not to HTTP/1.0 clients.
	if ex.settled || code == http.StatusSwitchingProtocols || !ex.in.ProtoAtLeast(1, 1) {
		return nil
	}
	h := ex.w.Header()
	for k, v := range header {
		h[k] = v
	}
	removeHopFields(h)
	ex.w.WriteHeader(code)
	clear(h)
	return nil
}

func (ex *exchange) settle() {
	ex.interim.Lock()
	defer ex.interim.Unlock()
	ex.settled = true
}

// responseBody remembers what broke it, because the pipeline's copy loop
// forgets, and does not trust the length that was promised.
type responseBody struct {
	io.ReadCloser
	ex   *exchange
	want int64 // -1: unknown
	got  int64

	trailer http.Header // announced
}

func (b *responseBody) Close() error { return b.ex.release(b.ReadCloser) }

// release closes the body of a transport's response. On HTTP/2 that waits for the
// request's body to be let go of, and its reader for a client who may be waiting for
// this answer: then nobody waits for it. It ends with the exchange.
func (ex *exchange) release(body io.Closer) error {
	if ex.upload == nil || ex.upload.hasEnded() {
		return body.Close()
	}
	go body.Close()
	return nil
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.got += int64(n)
	if err != nil && b.got == b.want && len(b.trailer) == 0 {
		// All that was promised is with the client, which may have sent its next
		// request already: what breaks now breaks nothing.
		return n, io.EOF
	}
	if err == io.EOF && b.want >= 0 && b.got != b.want {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF && b.ex.failed == nil {
		b.ex.failed = err
	}
	return n, err
}
