package testbed

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// seen is what a client makes of an answer: status and everything that is wrong.
func seen(o *Origin, url string, resp *http.Response, body []byte, err error, off, n int64) string {
	var s []string
	if resp != nil {
		s = append(s, resp.Status[:3])
		if v := resp.Header.Get("Content-Range"); v != "bytes 1000-1999/4000" && resp.StatusCode == 206 {
			s = append(s, v)
		}
	}
	if err != nil {
		s = append(s, "error")
	}
	if int64(len(body)) != n {
		s = append(s, "length")
	}
	if o.Content(url).VerifyRange(strings.NewReader(string(body)), off, int64(len(body))) != nil {
		s = append(s, "bytes")
	}
	return strings.Join(s, " ")
}

func TestFaults(t *testing.T) {
	o := start(t, Config{})
	h1 := start(t, Config{NoH2: true, CA: o.CA})
	const both = ""
	for _, x := range []struct {
		fault, h1, h2 string // how a request for bytes 1000-1999 of 4000 ends
	}{
		{"ignore-range", "200 length bytes", both},
		{"wrong-range", "206 bytes 1001-2000/4000 bytes", both},
		{"wrong-range,n=-7", "206 bytes 993-1992/4000 bytes", both},
		{"wrong-total", "206 bytes 1000-1999/4001", both},
		{"no-content-range", "206 ", both},
		{"bad-content-range", "206 bytes 0-/x", both},
		{"bad-length", "error length", "error length"},
		{"short-206", "206 length", both},
		{"long-206", "206 length", both},
		{"extra", "206", "error length"},
		{"shifted", "206 bytes", both},
		{"corrupt", "206 bytes", both},
		{"new-etag", "206", both},
		{"new-version", "206 bytes", both},
		{"multipart", "206  length bytes", both},
		{"gzip", "200 length bytes", both},
		{"chunked", "206", both},
		{"http10", "206", "error length"},
		{"503", "503 length", both},
		{"429,retry=2s", "429 length", both},
		{"slow-headers,for=1ms", "206", both},
		{"drop", "error length", both},
		{"drop-reset", "error length", both},
		{"truncate", "206 error length", both},
		{"reset", "206 error length", both},
		{"pause,for=1ms", "206", both},
		{"trickle,rate=1MiB/s", "206", both},
	} {
		for _, base := range []string{o.HTTP, h1.HTTPS, o.HTTPS} {
			want := x.h1
			if base == o.HTTPS && x.h2 != both {
				want = x.h2
			}
			u := URL(base, "4000/f", "seed=5", "fault="+x.fault)
			resp, body, err := getWith(t, &http.Client{Transport: once(o)}, u, "Range: bytes=1000-1999")
			if got := seen(o, u, resp, body, err, 1000, 1000); got != want {
				t.Errorf("%s %s: %q, want %q (%v)", base[:5], x.fault, got, want, err)
			}
		}
	}
}

// once is a transport that does not try a second time on a fresh connection.
func once(o *Origin) *http.Transport {
	t := o.Client().Transport.(*http.Transport)
	t.DisableKeepAlives = true
	return t
}

func TestStallHoldsUntilTheClientLeaves(t *testing.T) {
	o := start(t, Config{})
	for _, base := range []string{o.HTTP, o.HTTPS} {
		ctx, leave := context.WithCancel(t.Context())
		r, _ := http.NewRequestWithContext(ctx, "GET", URL(base, "100000/f", "fault=stall,after=50000"), nil)
		resp, err := o.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, resp.Body, 50000); err != nil {
			t.Fatal(err)
		}
		leave()
		resp.Body.Close()
	}
	waitFor(t, func() bool {
		all := o.Log().Entries()
		return len(all) == 2 && all[0].Took > 0 && all[1].Took > 0 && all[0].Aborted && all[1].Aborted
	})
}

func TestFaultConditions(t *testing.T) {
	o := start(t, Config{})
	hit := func(u, rng string) bool {
		r, _, err := get(t, o, u, "Range: "+rng)
		return err != nil || r.StatusCode == 503
	}
	for _, x := range []struct{ when, ranges, hits string }{
		{"at=first", "0-99 100-199 0-", "y n y"},
		{"at=middle", "0-999 400-600 600-700", "n y n"},
		{"at=last", "0-999 900-999 900- 900-998", "n y y n"},
		{"at=500", "0-999 400-499 500-501", "y n y"},
		{"req=2", "0- 0- 0-", "n y n"},
		{"req=2-", "0- 0- 0-", "n y y"},
		{"req=1-2", "0- 0- 0-", "y y n"},
		{"times=2", "0- 0- 0-", "y y n"},
		{"from=127.0.0.9", "0-", "n"},
		{"from=127.0.0.1", "0-", "y"},
	} {
		u := URL(o.HTTP, "1000/f", "fault=503,"+x.when)
		var got []string
		for rng := range strings.FieldsSeq(x.ranges) {
			got = append(got, map[bool]string{true: "y", false: "n"}[hit(u, "bytes="+rng)])
		}
		if s := strings.Join(got, " "); s != x.hits {
			t.Errorf("%s: ranges %s: %s, want %s", x.when, x.ranges, s, x.hits)
		}
	}
}

func TestConnectionLimit(t *testing.T) {
	for _, x := range []struct {
		policy Policy
		want   string
	}{{Answer503, "503"}, {Answer429, "429"}, {Reset, "error"}, {Refuse, "refused"}} {
		o := start(t, Config{Limits: Limits{MaxConns: 1, OverConns: x.policy, RetryAfter: time.Second}})
		first := o.Client()
		resp, err := first.Get(URL(o.HTTP, "10/f"))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close() // and now the connection is idle, and counts
		if x.policy == Refuse {
			waitFor(t, func() bool { return o.Conns().Closures == 2 })
		}
		got := "error"
		resp, _, err = get(t, o, URL(o.HTTP, "10/f"))
		if err == nil {
			got = resp.Status[:3]
		} else if isRefused(err) {
			got = "refused"
		}
		if got != x.want {
			t.Errorf("%s: got %s, %v", x.policy, got, err)
		}
		first.CloseIdleConnections()
		waitFor(t, func() bool { return o.Conns().Open == 0 })
		waitFor(t, func() bool { // the socket comes back in its own time
			resp, _, err := get(t, o, URL(o.HTTP, "10/f"))
			return err == nil && resp.StatusCode == 200
		})
	}
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// waitFor polls, since the origin learns of a closed connection when it does.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("waited 10 s in vain")
		}
	}
}
