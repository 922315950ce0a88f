package testbed

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"
)

// send writes the reply. A reply that ends early is seen as such by the client:
// net/http closes the connection or resets the stream.
func (q *request) send() {
	if q.reply.before != nil {
		if err := q.reply.before(q); err != nil {
			q.abort()
		}
	}
	out, err := q.head()
	if err == nil {
		err = q.sendBody(out)
	}
	if err != nil {
		q.abort()
	}
	if q.reply.raw {
		q.conn.Close()
	}
}

func (q *request) abort() {
	q.note(func(e *Entry) { e.Aborted = true })
	if q.reply.raw {
		q.conn.Close()
	}
	panic(http.ErrAbortHandler)
}

// out is where a body goes.
type out struct {
	io.Writer
	flush func() error
}

func (q *request) head() (out, error) {
	p := q.reply
	q.note(func(e *Entry) { e.Status, e.parts = p.status, p.parts })
	if p.raw {
		return q.rawHead()
	}
	maps.Copy(q.w.Header(), p.header)
	if n := p.lengthField(); n != "" {
		q.w.Header().Set("Content-Length", n)
	}
	q.w.WriteHeader(p.status)
	flush := http.NewResponseController(q.w).Flush
	if p.length < 0 { // or net/http would count a short body and add the length
		return out{q.w, flush}, flush()
	}
	return out{q.w, flush}, nil
}

var errNotH1 = errors.New("this fault needs HTTP/1")

func (q *request) rawHead() (out, error) {
	p := q.reply
	c, _, err := http.NewResponseController(q.w).Hijack()
	if err != nil {
		return out{}, errNotH1
	}
	proto := "HTTP/1.1"
	if p.http10 {
		proto = "HTTP/1.0"
	}
	h := p.header.Clone()
	if _, off := p.header["Date"]; !off {
		h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	if n := p.lengthField(); n != "" {
		h.Set("Content-Length", n)
	}
	if _, err := fmt.Fprintf(c, "%s %d %s\r\n", proto, p.status, http.StatusText(p.status)); err != nil {
		return out{}, err
	}
	if err := h.Write(c); err != nil {
		return out{}, err
	}
	_, err = io.WriteString(c, "\r\n")
	// Closing here, not only the TCP connection below, lets TLS say goodbye.
	q.w = &hijacked{q.w, c}
	return out{c, func() error { return nil }}, err
}

// hijacked remembers the connection that is ours now.
type hijacked struct {
	http.ResponseWriter
	io.Closer
}

func (q *request) sendBody(o out) error {
	if c, ok := q.w.(*hijacked); ok {
		defer c.Close()
	}
	if q.r.Method == http.MethodHead || q.reply.status == http.StatusNotModified { // over with its header, in h2
		return nil
	}
	flush := o.flush
	if q.reply.gzipped {
		z := gzip.NewWriter(o)
		o = out{z, func() error { return errors.Join(z.Flush(), flush()) }}
		defer z.Close()
	}
	if err := q.sendParts(o); err != nil {
		return err
	}
	if n := q.reply.extra; n > 0 {
		if _, err := o.Write(make([]byte, n)); err != nil {
			return err
		}
	}
	return o.flush()
}

func (q *request) sendParts(o out) error {
	steps := q.reply.steps
	var done int64
	for i, x := range q.reply.parts {
		if q.reply.heads != nil {
			if _, err := io.WriteString(o, q.reply.heads[i]); err != nil {
				return err
			}
		}
		for off := x.off; ; {
			for len(steps) > 0 && steps[0].after <= done {
				if err := errors.Join(o.flush(), steps[0].do(q)); err != nil {
					return err
				}
				steps = steps[1:]
			}
			n := x.off + x.n - off
			if n == 0 {
				break
			}
			if len(steps) > 0 {
				n = min(n, steps[0].after-done)
			}
			sent, err := q.piece(o, off, n)
			off += sent
			done += sent
			if err != nil {
				return err
			}
		}
	}
	_, err := io.WriteString(o, q.reply.tail)
	return err
}

// piece sends at most n bytes of the content at off, slowly if it trickles.
func (q *request) piece(o out, off, n int64) (int64, error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	n = min(n, int64(len(*buf)))
	if q.rate > 0 {
		n = min(n, max(1, q.rate/20))
		if err := wait(q.r.Context(), time.Duration(n)*time.Second/time.Duration(q.rate)); err != nil {
			return 0, err
		}
	}
	b := (*buf)[:n]
	q.reply.content.Fill(b, off+q.reply.shift)
	if start, end := q.reply.span(); q.reply.flip && off <= (start+end)/2 && (start+end)/2 < off+n {
		b[(start+end)/2-off] ^= 1
	}
	written, err := o.Write(b)
	q.o.files.addServed(q.key, int64(written))
	q.note(func(e *Entry) { e.Written += int64(written) })
	if err == nil && q.rate > 0 {
		err = o.flush()
	}
	return int64(written), err
}
