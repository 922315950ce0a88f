package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/need"
)

// goClientURL makes this test binary a Go program that downloads.
const goClientURL = "DTPX_E2E_GO_CLIENT"

// goClient is a Go program in the shell: its roots come from SSL_CERT_FILE. Its
// proxy does not come from the environment, since Go goes to 127.0.0.1 directly.
func goClient(rawURL string) int {
	proxy, err := url.Parse(os.Getenv("https_proxy"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	c := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), ForceAttemptHTTP2: true}}
	resp, err := c.Get(rawURL)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer resp.Body.Close()
	h := sha256.New()
	if _, err := io.Copy(h, resp.Body); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(hex.EncodeToString(h.Sum(nil)))
	return 0
}

const pythonGet = `
import shutil, sys, urllib.request
shutil.copyfileobj(urllib.request.urlopen(sys.argv[1]), sys.stdout.buffer)`

// nodeGet does what node's libraries for proxies do: CONNECT, then TLS.
const nodeGet = `
const u = new URL(process.argv[1]), p = new URL(process.env.https_proxy);
const r = require("http").request({host: p.hostname, port: p.port, method: "CONNECT", path: u.host});
r.on("connect", (_, socket) => require("https").get({host: u.hostname, port: u.port, path: u.pathname, socket, agent: false},
  res => res.pipe(process.stdout)).on("error", e => { console.error(e.message); process.exit(1); }));
r.end();`

// programs print the sha256 of what they get from the URL $1. Only wget and
// aria2 cannot be told by the environment whom to trust.
var programs = map[string]string{
	"curl":    `curl -sS "$1" | sha256sum`,
	"wget":    `wget -q -O - --tries=1 --ca-certificate="$SSL_CERT_FILE" "$1" | sha256sum`,
	"aria2c":  `aria2c -q -x1 -s1 --file-allocation=none --ca-certificate="$SSL_CERT_FILE" -o got "$1" && sha256sum got`,
	"python3": "python3 -c '" + pythonGet + `' "$1" | sha256sum`,
	"node":    "node -e '" + nodeGet + `' "$1" | sha256sum`,
	"go":      goClientURL + `="$1" "$2"`,
}

// Each program gets a throttled https file over many connections, with nothing
// but the lines that dtpx prints.
func TestPrograms(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	for name, script := range programs {
		t.Run(name, func(t *testing.T) {
			if name != "go" {
				need.Program(t, name)
			}
			t.Parallel()
			o := slowOrigin(t)
			b := newBox(t)
			n := b.serve("-config", b.config(o))
			url := o.HTTPS + "/" + size + "/" + name
			r := n.shell(script, url, self).ok(t)
			if want := o.Content(url).SHA256(); !strings.HasPrefix(r.out, want) {
				t.Errorf("got %s want %s\n%s", r.out, want, r.err)
			}
			accelerated(t, o, name)
			if s := n.page("/api/v1/status"); !strings.Contains(s, `"tunnelled":[]`) && !strings.Contains(s, `"tunnelled": []`) {
				t.Errorf("%s does not trust the CA: %s", name, s)
			}
		})
	}
}

// The same over http, where there is nothing to trust.
func TestProgramsOverHTTP(t *testing.T) {
	t.Parallel()
	need.Program(t, "curl")
	o := slowOrigin(t)
	n := newBox(t).serve()
	url := o.HTTP + "/" + size + "/plain"
	r := n.shell(programs["curl"], url).ok(t)
	if want := o.Content(url).SHA256(); !strings.HasPrefix(r.out, want) {
		t.Errorf("got %s want %s", r.out, want)
	}
	accelerated(t, o, "plain")
}

// git clone by https: its pack is a big file like others.
func TestGitClone(t *testing.T) {
	need.Program(t, "git")
	t.Parallel()
	b := newBox(t)
	repo := makeRepo(b)
	o := origin(t, testbed.Config{Limits: testbed.Limits{PerConn: slow}, Files: http.FileServer(http.Dir(b.home))})
	n := b.serve("-config", b.config(o))
	n.shell(`git clone -q "$1" clone`, o.HTTPS+"/repo.git").ok(t)
	if got, want := sum(t, b.path("clone", "big")), sum(t, repo); got != want {
		t.Errorf("the clone has %s, want %s", got, want)
	}
	accelerated(t, o, ".pack")
}

// makeRepo makes home/repo.git, ready for git's dumb protocol, with one big file,
// and returns that file's path.
func makeRepo(b *box) string {
	b.t.Helper()
	big := b.path("work", "big")
	must(b.t, os.MkdirAll(b.path("work"), 0o755))
	writeContent(b.t, big, testbed.Content{Seed: 5, Size: 12 << 20})
	b.run("sh", "-ec", `
cd work && git init -q -b main && git add big
git -c user.name=t -c user.email=t@t.test commit -q -m one
cd .. && git clone -q --bare work repo.git && cd repo.git && git repack -q -a -d && git update-server-info
find . -exec touch -d "2 hours ago" {} +`).ok(b.t)
	return big
}

func writeContent(t testing.TB, path string, c testbed.Content) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	_, err = io.Copy(f, c.Reader())
	must(t, err)
	must(t, f.Close())
}
