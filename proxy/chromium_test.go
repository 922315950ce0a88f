package proxy_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"dtpx/proxy"

	"dtpx/internal/testbed/need"
)

// browse lets headless Chromium load a page and returns what it shows.
//
// Whatever it wants on its own account goes to the rig, which has no such host.
func (r *rig) browse(url string, flags ...string) string {
	t := r.t
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		need.Skip(t, "chromium is not installed: sh internal/all.sh installs it")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args := append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--user-data-dir=" + t.TempDir(), "--dump-dom", "--timeout=5000",
		"--proxy-server=http://" + r.addr,
	}, flags...)
	out, err := exec.CommandContext(ctx, path, append(args, url)...).Output()
	if err != nil {
		t.Logf("chromium: %v", err)
	}
	return string(out)
}

// spki is the pin by which Chromium trusts one key and no other.
func spki(host string) string {
	cert, err := x509.ParseCertificate(originCA.leaf(host, time.Now().Add(time.Hour)).Certificate[0])
	must(err)
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func TestChromiumThatDoesNotTrustUs(t *testing.T) {
	r := newRig(t)
	realOrigin(r)
	for try := 1; try <= 3; try++ {
		page := r.browse("https://origin.test/", "--ignore-certificate-errors-spki-list="+spki("origin.test"))
		if strings.Contains(page, "hello") {
			t.Logf("works from try %d on: %+v", try, r.server.Tunnelled())
			if try == 1 {
				t.Error("was not intercepted")
			}
			return
		}
	}
	t.Errorf("does not work after three tries: %+v", r.server.Tunnelled())
}

func TestChromiumShowsTheDashboard(t *testing.T) {
	r := newRig(t, surface, func(s *proxy.Server) {
		s.Intercept.Known = []proxy.Tunnelled{{Host: "bank.test", Reason: "bad certificate", Since: time.Now()}}
	})
	r.shows(`class="live">running<`, "d1", "bank.test", "/proxy.pac</pre>")
}

// hostel is a node in a group, with a download that failed.
type hostel struct{ node }

func (*hostel) Downloads() any {
	return []map[string]any{{"id": "d2", "url": "https://origin.test/x", "state": "failed", "size": 4 << 20, "sent": 1 << 20, "error": "all sources failed",
		"note": "nobody has quota left", "sources": []map[string]any{{"kind": "peer", "name": "bob pqohfmfy", "error": "peer not reached"}}}}
}

func (*hostel) Peers() any {
	return map[string]any{
		"group": "Hostel Süd", "note": "nobody finds this machine", "day": "2026-11-26",
		"self":    map[string]any{"node": "e7jrj5qq3jqd", "name": "alice", "addresses": []string{"192.168.7.1:3129"}, "lends": true, "quota": 256 << 20, "quota_left": 200 << 20, "lent_today": 56 << 20, "own_today": 5 << 20},
		"members": []map[string]any{{"node": "pqohfmfyfptq", "name": "bob", "state": "gone", "lends": true, "quota": 256 << 20, "quota_left": 100 << 20, "borrowed_today": 33 << 20, "trouble": "connection refused", "served_last": true, "lent": 1}},
		"refused": []map[string]any{{"reason": "wrong secret", "times": 3, "from": "192.168.7.9:1", "last": time.Now()}},
	}
}

func TestDashboardOfAGroup(t *testing.T) {
	r := newRig(t, surface, func(s *proxy.Server) { s.Node = new(hostel) })
	r.shows("Hostel Süd", "alice", "192.168.7.1:3129", "200 MiB of 256 MiB left", "56.0 MiB", "nobody finds this machine",
		"bob", "pqohfmfy", "gone", "33.0 MiB", "100 MiB of 256 MiB left", "connection refused", "served after the others", "wrong secret", "192.168.7.9",
		"all sources failed", "nobody has quota left", "peer not reached")
}

// shows looks at the dashboard until it has all of want.
func (r *rig) shows(want ...string) {
	r.t.Helper()
	page := ""
	// --dump-dom dumps when the page has loaded, which may be before the first
	// event: look again.
	for range 20 {
		page = r.browse("http://" + r.addr + "/")
		if !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(page, w) }) {
			return
		}
	}
	want = slices.DeleteFunc(want, func(w string) bool { return strings.Contains(page, w) })
	r.t.Errorf("the page lacks %q: %s", want, page[max(0, strings.Index(page, "<body")):])
}
