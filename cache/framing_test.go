package cache

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// chunks is b as a chunked body.
func chunks(b []byte) []byte {
	return append(append(fmt.Appendf(nil, "%x\r\n", len(b)), b...), "\r\n0\r\n\r\n"...)
}

// by answers by hand.
func (r *rig) by(w http.ResponseWriter, answer func(c net.Conn)) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		r.t.Error(err)
		return
	}
	defer c.Close()
	answer(c)
}

// TestConflictingLengths: an answer that two readers would cut differently is not
// kept, nobody else gets it, and it is not offered to neighbours (RFC 9112 §6.3).
func TestConflictingLengths(t *testing.T) {
	const size = 100 << 10
	b := content(size, 1)
	for _, c := range []struct {
		name, head string
		body       []byte
		fails      bool // the client gets an error
	}{
		{"a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", chunks(b), false},
		{"the same, the other way round", "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\nCONTENT-LENGTH: 102400\r\n", chunks(b), false},
		{"folded", "HTTP/1.1 200 OK\r\nContent-Length:\r\n 5\r\nTransfer-Encoding:\r\n chunked\r\n", chunks(b), false},
		{"behind another answer", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", chunks(b), false},
		{"both on HTTP/1.0", fmt.Sprintf("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n", size), b, false},
		{"two lengths", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Length: 5\r\n", size), b, true},
		{"two lengths in one", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d, 5\r\n", size), b, true},
		{"one with a space before the colon", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Length : 5\r\n", size), b, false},
		{"a coding with one", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nTransfer-Encoding : chunked\r\n", size), b, false},
		{"a coding nobody knows", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nTransfer-Encoding: xchunked\r\n", size), b, true},
		{"two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", chunks(b), true},
		{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", b, true},
		{"a length with sign", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: +%d\r\n", size), b, true},
	} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(scheme+" "+c.name, func(t *testing.T) {
				var r *rig
				r = newRigOver(t, scheme, func(w http.ResponseWriter, q *http.Request) {
					r.by(w, func(conn net.Conn) {
						io.WriteString(conn, c.head+"Cache-Control: public, max-age=3600\r\nEtag: \"v1\"\r\n\r\n")
						conn.Write(c.body)
					})
				})
				for range 2 {
					resp, err := r.through("local").RoundTrip(r.request(t.Context(), "GET", "/f"))
					if c.fails != (err != nil) {
						t.Fatalf("error %v", err)
					}
					if err != nil {
						continue
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || !bytes.Equal(got, b) {
						t.Errorf("%d bytes, %v", len(got), err)
					}
				}
				if n := r.requests.Load(); n < 2 {
					t.Errorf("the origin was asked %d times", n)
				}
				if n := len(r.infos()); n > 0 || r.cache.Offer().Version() != 0 {
					t.Errorf("%d entries are kept", n)
				}
			})
		}
	}
}

// TestConflictingLengthsAtOnce: nor is it an answer for those who ask at the same time,
// large as it may be.
func TestConflictingLengthsAtOnce(t *testing.T) {
	const size, clients = 9<<20 + 5, 4
	b := content(size, 1)
	asked := make(chan bool, 2*clients)
	var r *rig
	r = newRig(t, func(w http.ResponseWriter, q *http.Request) {
		asked <- true
		r.by(w, func(conn net.Conn) {
			fmt.Fprintf(conn, "HTTP/1.0 200 OK\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\nCache-Control: public, max-age=3600\r\nEtag: \"v1\"\r\n\r\n", size)
			conn.Write(b)
		})
	})
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			if a := r.get("/f"); a.err != nil || !bytes.Equal(a.body, b) {
				t.Errorf("%d bytes, %v", len(a.body), a.err)
			}
		})
	}
	wg.Wait()
	if n := len(asked); n != clients {
		t.Errorf("%d answers for %d clients", n, clients)
	}
}

// TestConnectionOfConflictingLengths: what follows such an answer on its connection is
// not the answer to the next request.
func TestConnectionOfConflictingLengths(t *testing.T) {
	var r *rig
	r = newRig(t, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/f" {
			file([]byte("right"), `"v1"`, "Cache-Control", fresh)(w, q)
			return
		}
		r.by(w, func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			if n, _ := conn.Read(make([]byte, 4096)); n > 0 { // the next request
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nCache-Control: max-age=600\r\n\r\nevil")
			}
		})
	})
	way := r.through("local")
	for _, path := range []string{"/f", "/g", "/g"} {
		resp, err := way.RoundTrip(r.request(t.Context(), "GET", path))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := map[string]string{"/f": "a", "/g": "right"}[path]; err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}
