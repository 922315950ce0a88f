package ranges

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// A message that says its length by Content-Length and by Transfer-Encoding may be an
// attempt at smuggling (RFC 9112 §6.3, §6.1). net/http goes by the coding, as it should,
// or on HTTP/1.0 by the length, and takes the other field away: nobody could tell any
// more. Framed makes a transport whose connections have a look at each header section.

// Framed returns a transport like base for Transport.Own. It notices over HTTP/1 which
// answers say their length in both ways: those keep both fields, so that who keeps
// answers can refuse them, and their connection is not used again. Where base has its
// own way to do TLS, or a parent proxy, that is so over plain http only.
func Framed(base *http.Transport) *http.Transport {
	t := base.Clone()
	dial := base.DialContext
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &framed{Conn: c}, nil
	}
	//lint:ignore SA1019 a base that has it connects by it
	if base.DialTLSContext != nil || base.DialTLS != nil || base.Dial != nil || base.Proxy != nil {
		return t
	}
	// To have a way to dial is to do without HTTP/2, unless it is asked for.
	t.ForceAttemptHTTP2 = base.ForceAttemptHTTP2 || base.DialContext == nil && base.TLSClientConfig == nil
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		host, _, _ := net.SplitHostPort(addr)
		s, err := shake(ctx, c, t.TLSClientConfig, host, t.TLSHandshakeTimeout)
		switch {
		case err != nil:
			return nil, err
		case s.ConnectionState().NegotiatedProtocol == "h2":
			return s, nil // net/http goes on with it
		}
		return &framed{Conn: s}, nil
	}
	return t
}

// framed is a connection on which requests and answers take turns.
type framed struct {
	net.Conn
	asked atomic.Bool // something was sent since the last header section
	head  headScan    // of the one that is being read; belongs to the reader
	twice atomic.Pointer[[]byte]
}

// NetConn is the connection below.
func (f *framed) NetConn() net.Conn { return f.Conn }

// Write implements net.Conn.
func (f *framed) Write(p []byte) (int, error) {
	f.asked.Store(true)
	return f.Conn.Write(p)
}

// Read implements net.Conn.
func (f *framed) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if n > 0 && f.asked.Load() {
		if f.head.feed(p[:n]) {
			f.asked.Store(false)
			f.twice.Store(f.head.both())
			f.head = headScan{}
		}
	}
	return n, err
}

// headScan looks for the two fields in a header section that comes in pieces.
type headScan struct {
	line           []byte // begun
	lines, size    int
	interim        bool
	length, coding []byte // nil: not there
}

// scanMost is what is looked at of a header section, beyond what anybody sends.
const scanMost = 64 << 10

// feed takes the next bytes and reports that there is no more to see.
func (h *headScan) feed(p []byte) (over bool) {
	if h.size += len(p); h.size > scanMost+len(p) {
		return true
	}
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			h.line = append(h.line, p...)
			return false
		}
		line := bytes.TrimRight(append(h.line, p[:i]...), "\r")
		h.line, p = h.line[:0], p[i+1:]
		if h.take(line) {
			return true
		}
	}
	return false
}

// take looks at one line and reports that it is the last one.
func (h *headScan) take(line []byte) bool {
	switch h.lines++; {
	case h.lines == 1:
		h.interim = len(line) > 9 && line[9] == '1'
		return !bytes.HasPrefix(line, []byte("HTTP/1.")) // nor an answer, or of an encrypted connection
	case len(line) == 0 && h.interim: // RFC 9110 §15.2: another one follows
		h.lines, h.length, h.coding = 0, nil, nil
		return false
	case len(line) == 0:
		return true
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		h.length = append([]byte{}, bytes.TrimSpace(value)...)
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		h.coding = append([]byte{}, bytes.TrimSpace(value)...)
	}
	return false
}

// both is the length if there is a coding, too; otherwise nil.
func (h *headScan) both() *[]byte {
	if h.length == nil || h.coding == nil {
		return nil
	}
	return &h.length
}

// reframe gives resp, which has just come on c and whose body has not been read, its
// two lengths back if it had them.
func reframe(resp *http.Response, c net.Conn) {
	f, ok := c.(*framed)
	if !ok || resp.Body == nil || resp.Body == http.NoBody || resp.ContentLength >= 0 && resp.ProtoAtLeast(1, 1) {
		return
	}
	length := f.twice.Load()
	if length == nil {
		return
	}
	resp.Header.Set("Content-Length", string(*length))
	resp.Header.Set("Transfer-Encoding", "chunked")
	resp.Body = &lastBody{resp.Body, c}
}

// twofold reports a response that says its length in two ways; see reframe.
func twofold(resp *http.Response) bool { return len(resp.Header["Transfer-Encoding"]) > 0 }

// lastBody is the last one on its connection: where the next answer begins is not certain.
type lastBody struct {
	io.ReadCloser
	conn net.Conn
}

// Read implements io.Reader.
func (b *lastBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.conn.Close()
	}
	return n, err
}

// Close implements io.Closer.
func (b *lastBody) Close() error {
	defer b.conn.Close()
	return b.ReadCloser.Close()
}
