package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
)

// switchProtocols hands the client's connection over to what the origin
// switched to (WebSocket and others) and returns when both are done.
func (s *Server) switchProtocols(w http.ResponseWriter, r *http.Request, resp *http.Response) {
	backend, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		resp.Body.Close()
		s.refuse(w, r, problem{http.StatusBadGateway, "http_protocol_error", "the origin switched protocols on a connection that cannot"})
		return
	}
	defer backend.Close()
	if !s.hijacked.begin() {
		panic(http.ErrAbortHandler)
	}
	defer s.hijacked.work.Done()
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	if !s.hijacked.add(conn) {
		return
	}
	defer s.hijacked.remove(conn)
	if err := writeSwitch(rw.Writer, resp); err != nil {
		return
	}
	early, err := buffered(rw.Reader)
	if err != nil {
		return
	}
	if _, err := backend.Write(early); err != nil {
		return
	}
	s.stats.upgrades.Add(1)
	relay(conn, streamConn{backend})
}

func writeSwitch(w *bufio.Writer, resp *http.Response) error {
	protocol := resp.Header.Get("Upgrade")
	h := resp.Header.Clone()
	removeHopFields(h)
	h.Del("Content-Length")
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", protocol)
	h.Add("Via", Via)
	fmt.Fprintf(w, "HTTP/1.1 101 %s\r\n", http.StatusText(http.StatusSwitchingProtocols))
	if err := h.Write(w); err != nil {
		return err
	}
	fmt.Fprint(w, "\r\n")
	return w.Flush()
}

// stream is what relay joins.
type stream interface {
	io.ReadWriteCloser
}

// streamConn lets a 101 body close its sending side if it can.
type streamConn struct{ io.ReadWriteCloser }

func (s streamConn) CloseWrite() error { return closeWrite(s.ReadWriteCloser) }

// closeWrite ends the sending side; where there is no such thing, everything.
func closeWrite(c io.Closer) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err == nil {
			return nil
		}
	}
	return c.Close()
}

var _ stream = net.Conn(nil)
