package proxy_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Many clients at once, many of whom leave in the middle: what comes whole is
// right, what is cut is an error, and (TestMain) nothing stays behind.
func TestManyClientsManyLeaving(t *testing.T) {
	r := newRig(t)
	r.origin(func(w http.ResponseWriter, req *http.Request) {
		n, _ := strconv.Atoi(strings.TrimPrefix(req.URL.Path, "/"))
		if n%5 == 0 {
			w.Header().Set("Content-Length", strconv.Itoa(n))
		}
		io.Copy(io.Discard, req.Body)
		part := strings.Repeat("x", 1000)
		for left := n; left > 0; left -= len(part) {
			io.WriteString(w, part[:min(left, len(part))])
		}
		if n%7 == 0 {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	clients := []*http.Client{r.client(false), r.client(true)}
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			for j := range 25 {
				storm(t, clients[(i+j)%2], []string{"http", "https"}[j/2%2])
			}
		})
	}
	all.Wait()
}

func storm(t *testing.T, c *http.Client, scheme string) {
	n := 1 + rand.IntN(200_000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "POST", scheme+"://origin.test/"+strconv.Itoa(n), strings.NewReader(strings.Repeat("u", rand.IntN(50_000))))
	resp, err := c.Do(req)
	if err != nil {
		if n%7 != 0 {
			t.Errorf("%d over %s: %v", n, scheme, err)
		}
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusBadGateway {
		return // an origin's aborts take idle connections with them
	}
	if rand.IntN(3) == 0 {
		io.CopyN(io.Discard, resp.Body, int64(rand.IntN(n)))
		cancel()
		return
	}
	got, err := io.Copy(io.Discard, resp.Body)
	switch cut := n%7 == 0 && n%5 != 0; {
	case err == nil && (int(got) != n || cut):
		t.Errorf("%d over %s: %d bytes and a clean end", n, scheme, got)
	case err != nil && n%7 != 0 && !errors.Is(err, context.Canceled):
		t.Errorf("%d over %s: %v", n, scheme, err)
	}
}
