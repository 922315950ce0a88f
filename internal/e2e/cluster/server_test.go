package cluster

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
)

// One machine serves the house, as examples/server has it: who asks first pays,
// the others get it from its disk, and many at once cost one download.
func TestServer(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, mbps(40), mbps(4), mbps(4), mbps(4))
	server := h.Rooms[0]
	config, err := os.ReadFile("../../../examples/server/proxy.yaml")
	must(t, err)
	must(t, server.Serve(string(config)))

	url := h.URL("http", "/12MiB/update")
	var wg sync.WaitGroup
	for _, r := range h.Rooms[1:] {
		for range 3 {
			wg.Go(func() { h.by(server, r, url) })
		}
	}
	wg.Wait()
	// Who sees no progress for a second fetches for itself; on a busy machine one may.
	if st := h.Origin.Log().Stats("/update"); st.Total > 2*12*mib {
		t.Errorf("nine clients cost the origin %d bytes", st.Total)
	}
	asked := len(h.Origin.Log().For("/update"))
	if head := h.by(server, h.Rooms[1], url); !strings.Contains(strings.ToLower(head), "cache-status: dtpx; hit") {
		t.Errorf("the next one gets %s", head)
	}
	if now := len(h.Origin.Log().For("/update")); now != asked {
		t.Errorf("the origin was asked %d times more", now-asked)
	}
	// What the server's own user has fetched the others get once the origin has
	// confirmed it for them.
	own := h.URL("http", "/8MiB/own")
	d := server.Fetch(t.Context(), own, nil)
	must(t, d.Err)
	before := len(h.Origin.Log().For("/own"))
	h.by(server, h.Rooms[2], own)
	if cost := h.Origin.Log().Since("/own", before).Total; cost > 0 {
		t.Errorf("%d bytes for what is there", cost)
	}
	// Nobody looks into it without the token.
	if _, err := h.Rooms[1].Run(t.Context(), "curl", "-sSf", "http://10.9.0.1:3128/api/v1/cache"); err == nil {
		t.Error("a client may look into the cache")
	}
}

// by downloads a URL in a room through another one's dtpx, checks it, and returns
// the header section. It may be called from any goroutine.
func (h *house) by(server, r *hostel.Room, url string) string {
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	script := `out=$(mktemp) head=$(mktemp); curl -sSf -x http://10.9.0.1:3128 -D "$head" -o "$out" "$1" && sha256sum "$out" && cat "$head"; rm -f "$out" "$head"`
	got, err := r.Run(ctx, "sh", "-c", script, "sh", url)
	if err != nil {
		h.t.Error(err)
		return ""
	}
	sum, head, _ := strings.Cut(got, "\n")
	if sum, _, _ = strings.Cut(sum, " "); sum != h.Content(url).SHA256() {
		h.t.Errorf("%s got other bytes of %s", r.Name, url)
	}
	return head
}
