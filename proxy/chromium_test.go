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
	want := []string{`class="live">running<`, "d1", "bank.test", "/proxy.pac</pre>"}
	page := ""
	// --dump-dom dumps when the page has loaded, which may be before the first
	// event: look again.
	for range 20 {
		page = r.browse("http://" + r.addr + "/")
		if !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(page, w) }) {
			return
		}
	}
	t.Errorf("the page lacks one of %q: %s", want, page[max(0, strings.Index(page, "<body")):])
}
