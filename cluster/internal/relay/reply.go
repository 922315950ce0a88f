package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ReasonField names the field that tells machines why.
const ReasonField = "Dtpx-Reason"

// refusal is an error status with its reason, one word.
type refusal struct {
	status int
	reason string
	retry  time.Duration // Retry-After if over 0
	err    error         // for the log only; the member is not told
}

func (r *refusal) Error() string {
	s := fmt.Sprintf("refuse %d %s", r.status, r.reason)
	if r.err != nil {
		s += ": " + r.err.Error()
	}
	return s
}

func (r *refusal) Unwrap() error { return r.err }

// refused turns any error of the way to a tunnel into what the member is told.
func refused(err error) *refusal {
	var r *refusal
	var f *Forbidden
	switch {
	case errors.As(err, &r):
		return r
	case errors.As(err, &f):
		return &refusal{status: 403, reason: f.Why, err: err}
	}
	return &refusal{status: 502, reason: "dial", err: err}
}

func (r *refusal) send(conn net.Conn) {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n%s: %s\r\n", r.status, http.StatusText(r.status), ReasonField, r.reason)
	if r.retry > 0 {
		b.WriteString("Retry-After: " + strconv.Itoa(int((r.retry+time.Second-1)/time.Second)) + "\r\n")
	}
	b.WriteString("Content-Length: 0\r\nConnection: close\r\n\r\n")
	conn.SetDeadline(time.Now().Add(lingerTime))
	if _, err := io.WriteString(conn, b.String()); err == nil {
		linger(conn)
	}
}

// What a member sent on top of its request would turn our close into a reset,
// which takes the answer with it; so read on for a moment, and not for ever.
const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 1 << 20
)

func linger(conn net.Conn) {
	conn.SetDeadline(time.Now().Add(lingerTime))
	if closeWrite(conn) {
		_, _ = io.CopyN(io.Discard, conn, lingerBytes)
	}
}

// closeWrite ends one direction, where the connection can do that.
func closeWrite(c net.Conn) bool {
	w, ok := c.(interface{ CloseWrite() error })
	return ok && w.CloseWrite() == nil
}

// abort closes without the goodbye that would make a cut stream look whole.
func abort(c net.Conn) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // a *tls.Conn would say close_notify
		c = t.NetConn()
	}
	if l, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0)
	}
	c.Close()
}
