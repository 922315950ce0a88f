package proxy

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// What dials by default checks the address for those who are not on loopback,
// whatever the name was; an unknown client is none of ours.
func TestDefaultsGuardWhatTheyDial(t *testing.T) {
	origin := httptest.NewServer(http.NotFoundHandler())
	defer origin.Close()
	g := new(Guard)
	transport := newDefaultTransport(g)
	defer transport.(defaultTransport).CloseIdleConnections()
	for _, c := range []Client{{Loopback: true}, {}} {
		ctx := new(Server).withClient(t.Context(), c)
		conn, err := defaultDial(g)(ctx, "tcp", origin.Listener.Addr().String())
		if c.Loopback && err == nil {
			conn.Close()
		} else if c.Loopback || !errors.Is(err, ErrForbidden) {
			t.Errorf("%+v: dial: %v", c, err)
		}
		// The loopback client's idle connection must not serve the other.
		req, _ := http.NewRequestWithContext(ctx, "GET", origin.URL, nil)
		resp, err := transport.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		if c.Loopback != (err == nil) || !c.Loopback && !errors.Is(err, ErrForbidden) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
