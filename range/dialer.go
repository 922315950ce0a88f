package ranges

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// KindPeer is a source on another machine, with an internet link, an address
// and a quota of its own.
const KindPeer = "peer"

// Unavailable is the error of a source that cannot be asked now. The dial
// function of NewDialer may return it, by value or by pointer, wrapped or not.
// It says nothing about the origin or about other sources.
type Unavailable struct {
	After  time.Duration // ask again after this long; < 0: not in this download
	Reason string        // shown in SourceInfo.Error

	// OneTooMany: the connections that there are go on, and no other is opened.
	OneTooMany bool
}

func (u Unavailable) Error() string { return u.Reason }

// unavailable finds an Unavailable in err.
func unavailable(err error) (u Unavailable, ok bool) {
	if p := (*Unavailable)(nil); errors.As(err, &p) && p != nil {
		return *p, true
	}
	ok = errors.As(err, &u)
	return u, ok
}

// pathError is the failure of a dial function: of the way to the origin and not
// of the origin, whose limits it therefore says nothing about.
type pathError struct{ err error }

func (e *pathError) Error() string { return e.err.Error() }
func (e *pathError) Unwrap() error { return e.err }

// pathSource reaches origins through paths that somebody else opens.
type pathSource struct {
	base       *http.Transport
	kind, name string
	dial       func(ctx context.Context, t Target) (net.Conn, error)
}

// NewDialer returns a source that knows only how to open a TCP path to the
// origin of a target: to t.Edge if that is valid, otherwise to the host of
// t.URL. TLS to the origin with its checks and HTTP/1.1 run over the path as
// they do over a direct connection modelled on base, whose proxies and dialers
// are not used. dial is called with the context of the request that needs the
// path, from any goroutine, and several times at once; the path must outlive
// that context. Its errors count against this source alone.
func NewDialer(base *http.Transport, kind, name string, dial func(ctx context.Context, t Target) (net.Conn, error)) Source {
	return &pathSource{base, kind, name, dial}
}

func (s *pathSource) Kind() string { return s.kind }
func (s *pathSource) Name() string { return s.name }

func (s *pathSource) Lane(t Target) Lane {
	return &pipe{connector: connector{s.base, func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := s.dial(ctx, t)
		if err != nil {
			return nil, &pathError{err}
		}
		return c, nil
	}}}
}
