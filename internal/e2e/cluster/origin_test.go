package cluster

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	ranges "dtpx/range"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
)

// wears adds fields to each request.
type wears struct {
	http.RoundTripper
	fields http.Header
}

func (w wears) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	for k, v := range w.fields {
		req.Header[k] = v
	}
	return w.RoundTripper.RoundTrip(req)
}

// fetchAs is fetch with a field in the request.
func (h *house) fetchAs(r *hostel.Room, url, field, value string) {
	h.t.Helper()
	tr, err := r.Through()
	must(h.t, err)
	defer tr.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	d := hostel.Fetch(ctx, wears{tr, http.Header{field: {value}}}, url, nil)
	if must(h.t, d.Err); d.SHA256 != h.Content(url).SHA256() {
		h.t.Errorf("wrong bytes in %s", r.Name)
	}
}

// from are the requests for a file that came from a room's address.
func (h *house) from(r *hostel.Room, file string) (n int) {
	for _, e := range h.Origin.Log().For(file) {
		if host, _, _ := net.SplitHostPort(e.Remote); host == r.WAN.B.Addr() {
			n++
		}
	}
	return n
}

// named is URL by one of the names that the rooms know.
func named(host, path string, options ...string) string {
	return testbed.URL("https://"+host, path, options...)
}

// What origins make of requests from several addresses.
func TestOrigins(t *testing.T) {
	t.Parallel()
	h := build(t, hostel.Config{
		Origin: testbed.Config{Hosts: []string{"bound.test", "edge.test", "far.test", "listed.test"}},
		Links:  []int64{mbps(4), mbps(4), mbps(4)},
		Hosts: map[string][]string{
			"bound.test": {hostel.Addr1}, "listed.test": {hostel.Addr1},
			"edge.test": {hostel.Addr1, hostel.Addr2}, "far.test": {hostel.Addr2, hostel.Addr1},
		},
	})
	h.group("cluster: {lend: {quota: 0}, credentials: [listed.test]}\n")
	alice, bob, carol := h.Rooms[0], h.Rooms[1], h.Rooms[2]
	peers := func(h *house) int64 { return bySource(h.download(alice))[ranges.KindPeer] }

	t.Run("a URL bound to the client's address", func(t *testing.T) {
		h := h.sub(t)
		bound := []string{"fault=403,from=" + bob.WAN.B.Addr(), "fault=403,from=" + carol.WAN.B.Addr()}
		h.fetch(alice, named("bound.test", "/12MiB/bound1", bound...), nil)
		if h.from(bob, "bound1") == 0 || h.from(carol, "bound1") == 0 {
			t.Fatal("members were not tried")
		}
		t.Logf("bob asked %d times, carol %d", h.from(bob, "bound1"), h.from(carol, "bound1"))
		h.fetch(alice, named("bound.test", "/12MiB/bound2", bound...), nil)
		if h.from(bob, "bound2")+h.from(carol, "bound2") > 0 {
			t.Error("members were tried again")
		}
		if i := h.download(alice); !strings.Contains(i.Note, "members were not used") {
			t.Errorf("is not said: %+v", i)
		}
		if said := h.dtpx(alice, "status"); !strings.Contains(said, "members were not used") {
			t.Errorf("status does not say it: %s", said)
		}
	})

	for _, host := range []string{"edge.test", "far.test"} {
		t.Run("one edge for all slices: "+host, func(t *testing.T) {
			h := h.sub(t)
			h.fetch(alice, named(host, "/24MiB/"+host, "etag=edge"), nil)
			if n := peers(h); n < 6*mib {
				t.Errorf("peers brought %d bytes", n)
			}
			edges := map[string]int{}
			for _, e := range h.Origin.Log().For("/24MiB/" + host) {
				edges[e.Local]++
			}
			if len(edges) != 1 {
				t.Errorf("several edges: %v", edges)
			}
			t.Log(edges)
		})
	}
	t.Run("the edge is not to be reached from a member", func(t *testing.T) {
		h := h.sub(t)
		must(t, bob.M.Run("ip", "route", "add", "unreachable", hostel.Addr1+"/32"))
		defer func() { must(t, bob.M.Run("ip", "route", "del", "unreachable", hostel.Addr1+"/32")) }()
		h.fetch(alice, named("edge.test", "/16MiB/same"), nil)
		if n := h.source(alice, "bob").Bytes; n == 0 {
			t.Errorf("bob, who reaches the other edge, brought nothing: %+v", h.download(alice).Sources)
		}
		h.fetch(alice, named("edge.test", "/16MiB/differs", "etag=edge"), nil)
		if n := h.source(alice, "bob").Bytes; n != 0 {
			t.Errorf("bob brought %d bytes of another version", n)
		}
		if n := h.source(alice, "carol").Bytes; n == 0 {
			t.Error("carol brought nothing")
		}
	})

	t.Run("credentials", func(t *testing.T) {
		h := h.sub(t)
		for _, field := range []string{"Cookie", "Authorization"} {
			for host, want := range map[string]bool{"edge.test": false, "listed.test": true} {
				h.fetchAs(alice, named(host, "/8MiB/"+field+"-"+host), field, "session=1")
				if n := peers(h); n > 0 != want {
					t.Errorf("%s for %s: %d bytes through peers", field, host, n)
				}
			}
		}
	})
	t.Run("plain http and small", func(t *testing.T) {
		h := h.sub(t)
		for _, url := range []string{h.URL("http", "/8MiB/plain"), named("edge.test", "/64KiB/small")} {
			h.fetch(alice, url, nil)
			if h.from(bob, url[len(url)-5:])+h.from(carol, url[len(url)-5:]) > 0 {
				t.Errorf("%s went through peers", url)
			}
		}
	})
}

// Two rooms behind one uplink: the neighbour brings nothing, is left alone, and
// that is said. With one connection of ours the neighbour's gets half of the
// link, and is noticed for certain; with many it may hide among them. It is about
// rates, so it runs before the tests that run together.
func TestSameUplink(t *testing.T) {
	h := build(t, hostel.Config{Links: []int64{mbps(4), 0, mbps(4)}, Uplink: map[int]int{1: 0}})
	must(t, h.Rooms[0].Serve(hostel.Lend+"accelerate: {connections: 1}\n"))
	must(t, h.Rooms[1].Serve(hostel.Lend))
	must(t, h.Rooms[2].Serve(hostel.Lend))
	code := h.code()
	h.dtpx(h.Rooms[1], "group", "join", code)
	h.dtpx(h.Rooms[2], "group", "join", code)
	h.together()
	alice := h.Rooms[0]
	// Long enough for another to be suspected first, and for both answers, with bob
	// and without him, to be asked for twice: up to 9 s beside other tests.
	d := h.fetch(alice, h.URL("https", "/96MiB/shared"), nil)
	bob, carol := h.source(alice, "bob"), h.source(alice, "carol")
	t.Logf("%.1f s, bob %d bytes, %s %s; carol %d bytes", d.Total.Seconds(), bob.Bytes, bob.State, bob.Error, carol.Bytes)
	if !strings.Contains(bob.Error, "uplink") {
		t.Errorf("not parked: %+v", bob)
	}
	if carol.Bytes < 96*mib/4 {
		t.Errorf("carol brought %d bytes", carol.Bytes)
	}
	if said := h.dtpx(alice, "status"); !strings.Contains(said, "shares this machine's uplink") {
		t.Errorf("status does not say it: %s", said)
	}
	must(t, alice.Stop())
	must(t, alice.Serve(hostel.Lend))
	h.together()
	d = h.fetch(alice, h.URL("https", "/96MiB/hidden"), nil)
	bob = h.source(alice, "bob")
	t.Logf("among many connections: %.1f s, bob %d bytes, %s %s", d.Total.Seconds(), bob.Bytes, bob.State, bob.Error)
	if bob.Bytes > 96*mib/4 { // half of the link until he is noticed
		t.Errorf("brought %d bytes at our cost", bob.Bytes)
	}
}
