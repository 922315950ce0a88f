package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"dtpx/internal/cork"
)

// responseWriter is what the pipeline writes to: it sends on at once what it
// gets, and keeps what goproxy's hijacking would drop.
type responseWriter struct {
	http.ResponseWriter
	ex    *exchange
	early []byte // what the client sent right behind CONNECT
}

func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush is for the pipeline's event streams and trailers.
func (w *responseWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

func (w *responseWriter) WriteHeader(status int) {
	if w.ex.switched != nil {
		return // switchProtocols writes it
	}
	w.ResponseWriter.WriteHeader(status)
	if w.ex.stream {
		w.Flush() // a stream's header says that it has begun
	}
}

// corked is the connection of an intercepted client whose records can be sent
// together, as HTTP/1 writes them at once; nil for others.
func (w *responseWriter) corked() *cork.Conn {
	if ses, ok := w.ex.in.Context().Value(sessionKey{}).(*session); ok && w.ex.in.ProtoMajor == 1 {
		return ses.Conn
	}
	return nil
}

// Write sends the TLS records of p together.
func (w *responseWriter) Write(p []byte) (n int, err error) {
	if c := w.corked(); c != nil && len(p) > cork.Record {
		n, err = c.Together(func() (int, error) { return w.ResponseWriter.Write(p) })
	} else {
		n, err = w.ResponseWriter.Write(p)
	}
	if err != nil && w.ex.failed == nil {
		w.ex.failed = err
	}
	return n, err
}

// copySize was measured (BenchmarkTransfer, http): 32 KiB 1.95 GB/s, 64 KiB and
// more 1.1 GB/s, for those fall out of the near caches. TLS is slower than that, and
// for a slow download more in one write wakes the client less often, which takes 5 %
// less CPU of a requester at 16 MB/s. Each client at work has such a buffer.
const (
	copySize    = 32 << 10
	copySizeTLS = 64 << 10
)

var (
	copyBuffers    = sync.Pool{New: func() any { return new([copySize]byte) }}
	copyBuffersTLS = sync.Pool{New: func() any { return new([copySizeTLS]byte) }}
)

// ReadFrom copies with pooled buffers, flushing after each read: a stream's
// bytes go out as they come, and where writes are large the flush finds nothing
// to do.
func (w *responseWriter) ReadFrom(src io.Reader) (total int64, err error) {
	if w.corked() != nil {
		buf := copyBuffersTLS.Get().(*[copySizeTLS]byte)
		defer copyBuffersTLS.Put(buf)
		return w.copy(src, buf[:])
	}
	buf := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buf)
	return w.copy(src, buf[:])
}

func (w *responseWriter) copy(src io.Reader, buf []byte) (total int64, err error) {
	for {
		sent, err := w.sendFiles(src)
		total += sent
		if err != nil {
			return total, err
		}
		n, err := w.read(src, buf)
		if n > 0 {
			wrote, err := w.Write(buf[:n])
			total += int64(wrote)
			if err != nil {
				return total, err
			}
			if w.ex.stream {
				w.Flush()
			}
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// packetWait is how long a header and what has come of a small body wait for the
// rest, to go in one packet.
const packetWait = 20 * time.Millisecond

// read flushes where a small body lets wait for itself.
func (w *responseWriter) read(src io.Reader, buf []byte) (int, error) {
	if w.ex.stream || w.ex.hand {
		return src.Read(buf)
	}
	var mu sync.Mutex // who has it writes to the client
	come := false
	late := time.AfterFunc(packetWait, func() {
		mu.Lock()
		defer mu.Unlock()
		if !come {
			w.Flush()
		}
	})
	defer func() {
		late.Stop()
		mu.Lock()
		defer mu.Unlock()
		come = true
	}()
	return src.Read(buf)
}

// Hijack gives the bare connection, so that splice works, and keeps what
// net/http had read beyond the request.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.early, err = buffered(rw.Reader)
	return conn, rw, err
}

// buffered copies what br holds: its buffer is not ours for long.
func buffered(br *bufio.Reader) ([]byte, error) {
	b, err := br.Peek(br.Buffered())
	return append([]byte(nil), b...), err
}

// guardBody gives out a request body that is dead once closed: transports may
// read on after their answer, net/http forbids it after the handler's end, and
// closing the server's own body early would wait for the client.
func guardBody(out *http.Request) *requestBody {
	b := &requestBody{body: out.Body}
	if out.Body == nil || out.Body == http.NoBody || out.ContentLength == 0 {
		out.Body = nil // known to be empty: may be sent again on a fresh connection
		b.ended = true
		return b
	}
	out.Body = b
	return b
}

type requestBody struct {
	body   io.ReadCloser
	turn   sync.Mutex // of who reads body: of two, net/http's h2 server wakes one
	mu     sync.Mutex
	closed bool // guarded by mu
	ended  bool // guarded by mu
}

var errBodyClosed = errors.New("proxy: request body read after its end")

func (b *requestBody) Read(p []byte) (int, error) {
	b.turn.Lock()
	defer b.turn.Unlock()
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return 0, errBodyClosed
	}
	n, err := b.body.Read(p)
	if err != nil {
		b.mu.Lock()
		b.ended = true
		b.mu.Unlock()
	}
	return n, err
}

func (b *requestBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// drain reads what nobody has read, as far as net/http would, so that the
// connection can go on. net/http would do it behind the handler, where with full
// duplex it panics ("invalid concurrent Body.Read call", Go 1.26).
func (b *requestBody) drain(w http.ResponseWriter) {
	if !b.hasEnded() {
		_ = http.NewResponseController(w).Flush() // the answer does not wait for the rest
		_ = b.body.Close()
	}
}

// lingerTime is what a client may take to see that its upload is not wanted.
const lingerTime = 200 * time.Millisecond

// linger reads on for a moment where the client is still sending: on HTTP/2, as the
// handler's end resets the stream (curl 7.88 then loses the answer that has come); on
// HTTP/1 for no longer where only the handler's end tells of the answer's.
func (b *requestBody) linger(w http.ResponseWriter) {
	if b.hasEnded() {
		return
	}
	c := http.NewResponseController(w)
	_ = c.Flush()
	if c.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_ = b.Close() // the transport's turn ends with what comes next, or with the deadline
	b.turn.Lock()
	defer b.turn.Unlock()
	if !b.hasEnded() {
		_, _ = io.Copy(io.Discard, b.body)
	}
}

func (b *requestBody) hasEnded() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended
}

// abort breaks the connection to the client. HTTP/1.1 (chunked or with a
// length) shows a cut by its framing and h2 by RST_STREAM; an HTTP/1.0 body
// without a length ends where the connection ends, so that one is reset.
func (s *Server) abort(r *http.Request, ex *exchange) {
	// What is right so far is worth having: the client may resume from there.
	_ = http.NewResponseController(ex.w).Flush()
	s.stats.aborted.Add(1)
	s.log.Debug("response broken off", "url", redact(r.URL), "err", ex.failed)
	if !r.ProtoAtLeast(1, 1) && !ex.known {
		if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
			resetConn(c)
		}
	}
	panic(http.ErrAbortHandler)
}

// resetConn sends RST instead of FIN, and no close_notify where there is TLS.
func resetConn(c net.Conn) {
	for {
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = inner.NetConn()
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}
