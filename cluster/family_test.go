package cluster

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"dtpx/cluster/internal/port"
)

// A lender without IPv6, as many lines are, is asked for an IPv4 address of the host: it
// does not learn the name, and is not asked for the other family each time.
func TestLenderWithoutIPv6(t *testing.T) {
	t.Parallel()
	r := newRig(t, slow)
	var mu sync.Mutex
	var asked []string
	b := r.join(func(o *Options) {
		o.evil = func(_ context.Context, c *port.Conn) {
			defer c.Close()
			req, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				return
			}
			mu.Lock()
			asked = append(asked, req.Host)
			mu.Unlock()
			answer := ok
			if strings.HasPrefix(req.Host, "[") {
				answer = "HTTP/1.1 502 Bad Gateway\r\nDtpx-Reason: dial\r\nContent-Length: 0\r\n\r\n"
			}
			_, _ = io.WriteString(c, answer)
			discard(c)
		}
	})
	a := r.join(nil)
	r.together()
	to := target("https://localhost:443/", false)
	to.Edge = netip.MustParseAddrPort("[::1]:443")
	for range 2 {
		c, err := a.peer(b).dial(t.Context(), to)
		must(t, err)
		c.Close()
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"[::1]:443", "127.0.0.1:443", "127.0.0.1:443"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}
