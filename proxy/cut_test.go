package proxy_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"dtpx/proxy"
)

// cutBody yields n bytes and then breaks.
func cutBody(n int, err error) io.ReadCloser {
	return io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", n)), errorReader{err}))
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

// cutting is a transport whose responses break off.
func cutting(length int64, n int, err error) func(*proxy.Server) {
	return func(s *proxy.Server) {
		s.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: length, Body: cutBody(n, err), Request: r}, nil
		})
	}
}

// A body that breaks off upstream must never look whole, whatever the framing
// towards the client.
func TestCutBodyNeverLooksWhole(t *testing.T) {
	for _, tt := range []struct {
		name   string
		length int64
		n      int
		err    error
	}{
		{"with length", 100_000, 50_000, errors.New("reset")},
		{"with length, clean end too early", 100_000, 50_000, io.EOF},
		{"with length, before the first byte", 100_000, 0, errors.New("reset")},
		{"with length, at the last byte", 100_000, 99_999, errors.New("reset")},
		{"small, with length", 100, 50, io.ErrUnexpectedEOF},
		{"without length", -1, 50_000, errors.New("reset")},
		{"without length, before the first byte", -1, 0, errors.New("reset")},
		{"without length, small", -1, 10, io.ErrUnexpectedEOF},
		{"longer than promised", 10, 20, io.EOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachScheme(t, func(t *testing.T, base string, h2 bool) {
				r := newRig(t, cutting(tt.length, tt.n, tt.err))
				resp, err := r.client(h2).Get(base)
				if err != nil {
					return // unmistakable
				}
				defer resp.Body.Close()
				if b, err := io.ReadAll(resp.Body); err == nil && tt.n < 20 || err == nil && tt.n > 20 {
					t.Errorf("got %d bytes and a clean end", len(b))
				} else if tt.n == 20 && len(b) > 10 {
					t.Errorf("got %d bytes of 10", len(b))
				}
			})
			for _, scheme := range []string{"http", "https"} {
				t.Run("HTTP/1.0 over "+scheme, func(t *testing.T) { oldClientSeesCut(t, scheme, tt.length, tt.n, tt.err) })
			}
		})
	}
}

// oldClientSeesCut reads until the end of the connection, as HTTP/1.0 clients
// do: a clean end would be a whole response.
func oldClientSeesCut(t *testing.T, scheme string, length int64, n int, cut error) {
	r := newRig(t, cutting(length, n, cut))
	w := r.connect()
	request := "GET http://origin.test/ HTTP/1.0\r\n\r\n"
	if scheme == "https" {
		w = r.secure("origin.test")
		request = "GET / HTTP/1.0\r\nHost: origin.test\r\n\r\n"
	}
	w.send(request)
	raw, err := io.ReadAll(w)
	_, body, header := strings.Cut(string(raw), "\r\n\r\n")
	switch {
	case err != nil || !header: // reset, or nothing at all
	case length >= 0 && int64(len(body)) < length: // shorter than it says
	case n > int(length) && length >= 0: // cut to what was promised
	default:
		t.Errorf("got %d bytes and a clean end", len(body))
	}
}

// The same with real sockets: an origin that dies in the middle.
func TestOriginDiesInTheMiddle(t *testing.T) {
	for name, head := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.tcp("origin.test:80", func(c net.Conn) {

				c.Read(make([]byte, 4096))
				io.WriteString(c, head+"hello")
			})
			resp, err := r.client(false).Get("http://origin.test/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); err == nil || string(b) != "hello" {
				t.Errorf("got %q, %v", b, err)
			}
		})
	}
}

// What breaks behind the last byte that was promised breaks nothing.
func TestWholeBodyThenABreak(t *testing.T) {
	eachScheme(t, func(t *testing.T, base string, h2 bool) {
		r := newRig(t, cutting(50_000, 50_000, errors.New("reset")))
		resp, err := r.client(h2).Get(base)
		if got := body(t, resp, err); len(got) != 50_000 {
			t.Errorf("got %d bytes", len(got))
		}
	})
}
