package proxy_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dtpx/internal/testbed/need"
)

// caFile writes the origins' CA, and the proxy's if told to: what a program
// trusts.
func caFile(t *testing.T, withProxy bool) string {
	t.Helper()
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: originCA.cert.Raw})
	if withProxy {
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxyCA.cert.Raw})...)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	must(os.WriteFile(path, data, 0o600))
	return path
}

const pythonGet = `
import ssl, sys, urllib.request
c = ssl.create_default_context(cafile=sys.argv[1])
o = urllib.request.build_opener(urllib.request.ProxyHandler({"https": sys.argv[2]}), urllib.request.HTTPSHandler(context=c))
print(o.open(sys.argv[3], timeout=10).read().decode())`

// nodeGet is what every node library for proxies does: CONNECT, then TLS.
const nodeGet = `
const [ca, proxy, url] = process.argv.slice(1), u = new URL(url), p = new URL(proxy);
const r = require('http').request({host: p.hostname, port: p.port, method: 'CONNECT', path: u.hostname + ':443'});
r.on('connect', (_, socket) => {
  require('https').get({host: u.hostname, path: u.pathname, socket, agent: false, servername: u.hostname,
    ca: require('fs').readFileSync(ca)}, res => res.on('data', d => process.stdout.write(d)))
    .on('error', e => { console.error(e.message); process.exit(1); });
});
r.end();`

// programs fetch https://origin.test/ through a proxy, trusting a CA file.
var programs = map[string]func(ca, proxy string) []string{
	"curl": func(ca, proxy string) []string {
		return []string{"curl", "-sS", "--cacert", ca, "-x", proxy, "https://origin.test/"}
	},
	"wget": func(ca, proxy string) []string {
		return []string{"wget", "-q", "-O", "-", "--tries=1", "--ca-certificate=" + ca, "-e", "use_proxy=yes", "-e", "https_proxy=" + proxy, "https://origin.test/"}
	},
	"git": func(ca, proxy string) []string {
		return []string{"git", "-c", "http.sslCAInfo=" + ca, "-c", "http.proxy=" + proxy, "ls-remote", "https://origin.test/repo.git"}
	},
	"python3": func(ca, proxy string) []string {
		return []string{"python3", "-c", pythonGet, ca, proxy, "https://origin.test/"}
	},
	"node": func(ca, proxy string) []string {
		return []string{"node", "-e", nodeGet, ca, proxy, "https://origin.test/"}
	},
}

// run runs a program without the caller's settings.
func run(t *testing.T, args []string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	home := t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0"}
	if root := os.Getenv("PYENV_ROOT"); root != "" {
		cmd.Env = append(cmd.Env, "PYENV_ROOT="+root)
	} else if real, err := os.UserHomeDir(); err == nil {
		cmd.Env = append(cmd.Env, "PYENV_ROOT="+filepath.Join(real, ".pyenv"))
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// realOrigin answers programs, git's too.
func realOrigin(r *rig) {
	r.origin(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/info/refs") {
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, strings.Repeat("a", 40)+"\trefs/heads/hello\n") // the dumb protocol
			return
		}
		io.WriteString(w, "hello")
	})
}

func eachProgram(t *testing.T, test func(t *testing.T, args func(ca, proxy string) []string)) {
	for name, args := range programs {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(name); err != nil {
				need.Skip(t, "%s is not installed: sh internal/all.sh installs it", name)
			}
			test(t, args)
		})
	}
}

func TestRealProgramsThatTrustUs(t *testing.T) {
	eachProgram(t, func(t *testing.T, args func(ca, proxy string) []string) {
		r := newRig(t)
		realOrigin(r)
		out, err := run(t, args(caFile(t, true), "http://"+r.addr))
		if err != nil || !strings.Contains(out, "hello") {
			t.Fatalf("%v: %s", err, out)
		}
		if metric(r, "dtpx_proxy_requests_total") == 0 || len(r.server.Tunnelled()) != 0 {
			t.Error("not intercepted")
		}
	})
}

// Decision 11: programs that do not trust us work from the second
// try on, by themselves.
func TestRealProgramsThatDoNotTrustUs(t *testing.T) {
	eachProgram(t, func(t *testing.T, args func(ca, proxy string) []string) {
		r := newRig(t)
		realOrigin(r)
		ca := caFile(t, false)
		for try := 1; try <= 2; try++ { // the next try works
			refused := refusedCount(r)
			out, err := run(t, args(ca, "http://"+r.addr))
			if err == nil && strings.Contains(out, "hello") {
				t.Logf("works from try %d on: %+v", try, r.server.Tunnelled())
				return
			}
			t.Logf("try %d: %v: %s", try, err, strings.TrimSpace(out))
			eventually(t, "refusal noted", func() bool { return refusedCount(r) > refused })
		}
		t.Errorf("does not work at the second try")
	})
}

// A Go program that does not know of proxies' certificates.
func TestGoClientThatDoesNotTrustUs(t *testing.T) {
	r := newRig(t)
	realOrigin(r)
	c := r.client(true)
	c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: originCA.pool()}
	if _, err := c.Get("https://origin.test/"); err == nil {
		t.Fatal("trusted")
	}
	eventually(t, "refusal noted", func() bool { return len(r.server.Tunnelled()) == 1 })
	resp, err := c.Get("https://origin.test/")
	if got := body(t, resp, err); got != "hello" {
		t.Errorf("got %q", got)
	}
}

// curl on HTTP/2 that is sending when its stream ends loses the answer with it: an
// upload that an origin refuses half-way is read on until curl has seen why.
func TestRefusedUploadOfCurl(t *testing.T) {
	need.Program(t, "curl")
	r := newRig(t)
	r.origin(func(w http.ResponseWriter, req *http.Request) {
		io.CopyN(io.Discard, req.Body, 1<<20)
		http.Error(w, "enough", http.StatusRequestEntityTooLarge)
	})
	file := filepath.Join(t.TempDir(), "upload")
	must(os.WriteFile(file, make([]byte, 32<<20), 0o600))
	for _, version := range []string{"--http1.1", "--http2"} {
		out, err := run(t, []string{"curl", version, "-sS", "-w", "%{http_code}", "--cacert", caFile(t, true), "-x", "http://" + r.addr, "-T", file, "https://origin.test/"})
		if err != nil || out != "enough\n413" {
			t.Errorf("%s: %q, %v", version, out, err)
		}
	}
}
