package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
)

func TestStreamsAsItComes(t *testing.T) {
	eachScheme(t, func(t *testing.T, base string, h2 bool) {
		for _, kind := range []string{"text/event-stream", "application/octet-stream"} {
			r := newRig(t)
			next := make(chan string)
			r.origin(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", kind)
				w.(http.Flusher).Flush()
				for s := range next {
					io.WriteString(w, s)
					w.(http.Flusher).Flush()
				}
			})
			resp, err := r.client(h2).Get(base) // returns before the body has begun
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []string{"data: 1\n\n", "data: 2\n\n"} {
				next <- s
				got := make([]byte, len(s))
				if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != s {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			close(next)
			body(t, resp, nil)
		}
	})
}

// The origin waits for the client to have seen the header, then for each piece.
func TestTrickleOfKnownLengthIsNotHeldBack(t *testing.T) {
	for _, size := range []int{30, 15_000, 100_000} {
		eachScheme(t, func(t *testing.T, base string, h2 bool) {
			r := newRig(t)
			next := make(chan bool)
			defer close(next)
			r.origin(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(size))
				for _, n := range []int{0, 10, 10, size - 20} {
					w.Write(make([]byte, n))
					w.(http.Flusher).Flush()
					<-next
				}
			})
			resp, err := r.client(h2).Get(base)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			for _, n := range []int{10, 10, size - 20} {
				next <- true
				if _, err := io.ReadFull(resp.Body, make([]byte, n)); err != nil {
					t.Fatalf("size %d: %v", size, err)
				}
			}
		})
	}
}

// An origin answers what it does not want to hear to the end, while we wait for the client
// to send the rest. (HTTP/1 clients wait for themselves.)
func TestAnswerInMidUpload(t *testing.T) {
	r := newRig(t)
	r.origin(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.ReadFull(req.Body, make([]byte, 1))
		http.NewResponseController(w).EnableFullDuplex()
		if req.URL.Path == "/nothing" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Length", "6")
		io.WriteString(w, "enough")
	})
	c := r.client(true)
	for path, want := range map[string]string{"/enough": "enough", "/nothing": ""} {
		for range 5 {
			pr, pw := io.Pipe()
			go io.WriteString(pw, "a")
			resp, err := c.Post("https://origin.test"+path, "text/plain", pr)
			if got := body(t, resp, err); got != want {
				t.Errorf("%s: got %q", path, got)
			}
			pw.Close()
		}
	}
}

// The same on HTTP/1, where the client reads the answer to its end before it does anything
// else, as curl does (stop sending).
func TestWholeAnswerInMidUpload(t *testing.T) {
	for _, path := range []string{"/known", "/unknown"} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(scheme+path, func(t *testing.T) {
				r := newRig(t)
				r.origin(func(w http.ResponseWriter, req *http.Request) {
					_, _ = io.ReadFull(req.Body, make([]byte, 1))
					_ = http.NewResponseController(w).EnableFullDuplex()
					if path == "/known" {
						w.Header().Set("Content-Length", "6")
					}
					w.WriteHeader(http.StatusRequestEntityTooLarge)
					io.WriteString(w, "enough")
					w.(http.Flusher).Flush()
				})
				var w *wire
				if scheme == "http" {
					w = r.connect()
					w.send("POST http://origin.test" + path)
				} else {
					w = r.secure("origin.test")
					w.send("POST " + path)
				}
				w.send(" HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 1000000\r\n\r\na")
				resp := w.response("POST")
				if got := body(t, resp, nil); resp.StatusCode != 413 || got != "enough" {
					t.Errorf("%s %q", resp.Status, got)
				}
			})
		}
	}
}

func TestUploads(t *testing.T) {
	eachScheme(t, func(t *testing.T, base string, h2 bool) {
		r := newRig(t)
		begun := make(chan bool, 1)
		r.origin(func(w http.ResponseWriter, req *http.Request) {
			first := make([]byte, 1)
			if _, err := io.ReadFull(req.Body, first); err == nil {
				begun <- true
			}
			n, err := io.Copy(io.Discard, req.Body)
			fmt.Fprint(w, n+1, err, req.ContentLength)
		})
		pr, pw := io.Pipe()
		go func() {
			io.WriteString(pw, "a")
			await(t, begun, "first byte at the origin while the rest is not there yet")
			pw.Write(make([]byte, 1<<20))
			pw.Close()
		}()
		resp, err := r.client(h2).Post(base, "text/plain", pr)
		if got := body(t, resp, err); got != "1048577 <nil> -1" {
			t.Errorf("origin got %s", got)
		}
	})
}

// (net/http's h2 server keeps Expect to itself, so there the origin is not asked
// first and the client hears 100 as soon as its body is read.)
func TestExpectContinue(t *testing.T) {
	eachScheme(t, func(t *testing.T, base string, h2 bool) {
		r := newRig(t)
		r.origin(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/no" {
				w.WriteHeader(http.StatusExpectationFailed)
				return
			}
			n, _ := io.Copy(io.Discard, req.Body)
			fmt.Fprint(w, n)
		})
		c := r.client(h2)
		for path, want := range map[string]string{"/yes": "200 OK 5", "/no": "417 Expectation Failed "} {
			continued := false
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { continued = true }})
			req, _ := http.NewRequestWithContext(ctx, "POST", base+path, strings.NewReader("hello"))
			req.Header.Set("Expect", "100-continue")
			resp, err := c.Do(req)
			if got := body(t, resp, err); resp.Status+" "+got != want || !h2 && continued != (path == "/yes") {
				t.Errorf("%s: %s %q, continued %v", path, resp.Status, got, continued)
			}
		}
	})
}

func TestEarlyHints(t *testing.T) {
	eachScheme(t, func(t *testing.T, base string, h2 bool) {
		r := newRig(t)
		r.origin(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</x.css>")
			w.WriteHeader(103)
			w.Header().Del("Link")
			io.WriteString(w, "done")
		})
		hints := ""
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error { hints += fmt.Sprint(code, h.Get("Link")); return nil },
		})
		req, _ := http.NewRequestWithContext(ctx, "GET", base, nil)
		resp, err := r.client(h2).Do(req)
		if got := body(t, resp, err); got != "done" || hints != "103</x.css>" || resp.Header.Get("Link") != "" {
			t.Errorf("got %q, hints %q, final Link %q", got, hints, resp.Header.Get("Link"))
		}
	})
}

func TestTrailers(t *testing.T) {
	eachScheme(t, func(t *testing.T, base string, h2 bool) {
		r := newRig(t)
		r.origin(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			io.Copy(w, req.Body)
			w.Header().Set("X-Sum", "sum:"+req.Trailer.Get("X-Sent"))
			w.Header().Set(http.TrailerPrefix+"X-Late", "late")
		})
		req, _ := http.NewRequest("POST", base, io.MultiReader(strings.NewReader("hello")))
		req.Trailer = http.Header{"X-Sent": {"42"}}
		req.Header.Set("Te", "trailers")
		resp, err := r.client(h2).Do(req)
		if got := body(t, resp, err); got != "hello" || resp.Trailer.Get("X-Sum") != "sum:42" || resp.Trailer.Get("X-Late") != "late" {
			t.Errorf("got %q, trailers %v", got, resp.Trailer)
		}
	})
}

// What gRPC does: both sides talk at once, status comes in trailers.
func TestBidirectionalStream(t *testing.T) {
	r := newRig(t)
	r.origin(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		if req.Header.Get("Te") != "trailers" || req.ProtoMajor != 2 {
			t.Errorf("TE %q, %s", req.Header.Get("Te"), req.Proto)
		}
		w.(http.Flusher).Flush()
		buf := make([]byte, 4)
		for {
			if _, err := io.ReadFull(req.Body, buf); err != nil {
				break
			}
			w.Write(buf)
			w.(http.Flusher).Flush()
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	})
	pr, pw := io.Pipe()
	req, _ := http.NewRequest("POST", "https://origin.test/svc/Method", pr)
	req.Header.Set("Te", "trailers")
	resp, err := r.client(true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"ping", "pong"} {
		io.WriteString(pw, s)
		got := make([]byte, 4)
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != s {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	pw.Close()
	if body(t, resp, nil); resp.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("trailers %v", resp.Trailer)
	}
}

// An origin that has seen enough answers while the client still sends.
func TestEarlyAnswerToAnUpload(t *testing.T) {
	for _, length := range []string{"Content-Length: 100000000", "Content-Length: 2000", "Transfer-Encoding: chunked"} {
		r := newRig(t)
		r.tcp("origin.test:80", func(c net.Conn) {
			c.Read(make([]byte, 4096))
			io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nenough")
			io.Copy(io.Discard, c)
		})
		w := r.connect()
		w.send("POST http://origin.test/ HTTP/1.1\r\nHost: x\r\n" + length + "\r\n\r\n3\r\nabc\r\n")
		resp := w.response("POST")
		if got := body(t, resp, nil); resp.StatusCode != 413 || got != "enou" {
			t.Errorf("%s: %s %q", length, resp.Status, got)
		}
	}
}

// What failed before the upload was read leaves the connection usable.
func TestUnreadUploadKeepsTheConnection(t *testing.T) {
	r := newRig(t)
	r.origin(func(w http.ResponseWriter, req *http.Request) { io.WriteString(w, "hello") })
	for _, upload := range []string{"Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"} {
		w := r.connect()
		w.send("POST http://nowhere.test/ HTTP/1.1\r\nHost: nowhere.test\r\n" + upload)
		resp := w.response("POST")
		if body(t, resp, nil); resp.StatusCode != http.StatusBadGateway {
			t.Fatal(resp.Status)
		}
		w.send("GET http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n")
		if got := body(t, w.response("GET"), nil); got != "hello" {
			t.Errorf("%q, then %q", upload, got)
		}
	}
}
