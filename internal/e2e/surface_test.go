package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"dtpx/internal/testbed"
)

func TestOwnPages(t *testing.T) {
	t.Parallel()
	n := newBox(t).serve()
	if got := n.page("/healthz"); got != "ok\n" {
		t.Errorf("healthz %q", got)
	}
	if n.page("/ca.pem") != n.read("ca.pem") {
		t.Error("/ca.pem is not the CA")
	}
	if pac := n.page("/proxy.pac"); !strings.Contains(pac, "FindProxyForURL") || !strings.Contains(pac, "PROXY "+n.addr+"; DIRECT") {
		t.Errorf("proxy.pac: %s", pac)
	}
	if page := n.page("/"); !strings.Contains(page, "<title>") {
		t.Errorf("dashboard: %s", page)
	}
	n.wants("200", []string{`"listen"`}, "http://dtpx.internal/api/v1/status")
	n.wants("421", nil, "--noproxy", "*", "-H", "Host: evil.example", "http://"+n.addr+"/api/v1/status")
	n.wants("403", nil, "--noproxy", "*", "-H", "Origin: http://evil.example", "http://"+n.addr+"/api/v1/status")
	n.wants("405", nil, "--noproxy", "*", "-X", "POST", "http://"+n.addr+"/api/v1/status")
	n.wants("404", nil, "--noproxy", "*", "http://"+n.addr+"/api/v1/nonsense")
}

func TestStatus(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.dtpx("status").complains(t, 1, "no node is running", "dtpx serve")
	n := b.serve()
	r := b.dtpx("status", "-json").ok(t)
	var s struct {
		Version, Listen, State string
		PID                    int
		Started                time.Time
		CA                     struct{ Path, Fingerprint string }
	}
	must(t, json.Unmarshal([]byte(r.out), &s))
	if s.Listen != n.addr || s.State != b.state() || s.PID != n.cmd.Process.Pid || s.CA.Path != b.state("ca.pem") || s.Version == "" ||
		time.Since(s.Started) > patience {
		t.Errorf("status: %+v", s)
	}
	n.kill()
	b.dtpx("status").complains(t, 1, n.addr, "does not answer")
}

// Why a download was not accelerated stands in the list of downloads.
func TestReasons(t *testing.T) {
	t.Parallel()
	o := origin(t, testbed.Config{})
	b := newBox(t)
	n := b.serve("-config", b.config(o, "accelerate: {never: [localhost]}"))
	for path, c := range map[string]struct {
		base   string
		reason string
	}{
		"/6MiB/chunked?chunked=1":                 {o.HTTP, "length"},
		"/6MiB/weak?etag=weak&age=none":           {o.HTTP, "validator"},
		"/6MiB/never":                             {strings.Replace(o.HTTP, "127.0.0.1", "localhost", 1), "never"},
		"/6MiB/bare?etag=none&age=none&date=none": {o.HTTP, "validator"},
	} {
		url := c.base + path
		n.shell(`curl -sS --fail -o got "$1"`, url).ok(t)
		same(t, b.path("got"), o, url)
		ds := n.downloads()
		if len(ds) == 0 || !strings.Contains(ds[0].Reason, c.reason) || ds[0].State != "done" || strings.Contains(ds[0].URL, "etag") {
			t.Errorf("%s: want a reason with %q, got %+v", path, c.reason, ds)
		}
		if conns := o.Log().Stats(strings.Split(path, "?")[0]).Requests; conns != 1 {
			t.Errorf("%s: %d requests", path, conns)
		}
	}
}

func TestBypass(t *testing.T) {
	t.Parallel()
	o := slowOrigin(t)
	b := newBox(t)
	n := b.serve("-config", b.config(o))
	url := o.HTTPS + "/6MiB/bypass"
	n.shell(`curl -sS --fail -H "Dtpx-Bypass: 1" -D head -o got "$1"`, url).ok(t)
	same(t, b.path("got"), o, url)
	es := o.Log().For("bypass")
	if len(es) != 1 || es[0].Header.Get("Dtpx-Bypass") != "" || es[0].Range != "" {
		t.Errorf("the origin saw %+v", es)
	}
}

// What dtpx touched says so.
func TestResponseFields(t *testing.T) {
	t.Parallel()
	o := origin(t, testbed.Config{})
	b := newBox(t)
	n := b.serve("-config", b.config(o))
	head, _ := n.fetch("-D", "-", "-o", "/dev/null", o.HTTPS+"/6MiB/fields")
	m := regexp.MustCompile(`(?i)dtpx-download: (\S+)`).FindStringSubmatch(head)
	if !regexp.MustCompile(`(?i)via: \S+ dtpx`).MatchString(head) || m == nil {
		t.Fatalf("the header lacks Via or Dtpx-Download: %s", head)
	}
	if ds := n.downloads(); len(ds) != 1 || ds[0].ID != m[1] {
		t.Errorf("download %s is not in %+v", m[1], ds)
	}
	for _, e := range o.Log().Entries() {
		if e.Header.Get("Via") != "" || e.Header.Get("X-Forwarded-For") != "" {
			t.Errorf("the origin sees that there is a proxy: %v", e.Header)
		}
	}
}

var (
	metricComment = regexp.MustCompile(`^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$`)
	metricSample  = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-zA-Z_]\w*="[^"\\\n]*"(?:,[a-zA-Z_]\w*="[^"\\\n]*")*\})? (\S+)$`)
)

// /metrics is Prometheus' text format 0.0.4: each family once, its type before
// its samples, each series once.
func TestMetrics(t *testing.T) {
	t.Parallel()
	o := origin(t, testbed.Config{})
	b := newBox(t)
	n := b.serve("-config", b.config(o))
	n.shell(`curl -sS --fail -o got "$1"`, o.HTTPS+"/6MiB/m").ok(t)
	kinds, seen := map[string]string{}, map[string]bool{}
	var text string
	eventually(t, "the download among the finished ones", func() bool { // it is counted after curl has its last byte
		text = n.page("/metrics")
		return strings.Contains(text, `dtpx_downloads_total{state="done"} 1`)
	})
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := metricComment.FindStringSubmatch(line); m != nil {
			if m[1] == "TYPE" && (kinds[m[2]] != "" || m[3] != "counter" && m[3] != "gauge") {
				t.Errorf("bad or second type: %s", line)
			}
			if m[1] == "TYPE" {
				kinds[m[2]] = m[3]
			}
			continue
		}
		m := metricSample.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("no sample: %q", line)
			continue
		}
		if _, err := strconv.ParseFloat(m[3], 64); err != nil || kinds[m[1]] == "" || seen[m[1]+m[2]] || !strings.HasPrefix(m[1], "dtpx_") {
			t.Errorf("no value, no type, twice, or not ours: %q", line)
		}
		seen[m[1]+m[2]] = true
	}
	if !seen["dtpx_proxy_requests_total"] || !strings.Contains(text, `dtpx_downloads_total{state="done"} 1`) {
		t.Errorf("metrics lack what has happened: %s", text)
	}
}

func TestCACommand(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.dtpx("ca", "path").complains(t, 1, "no certificate authority", "dtpx serve")
	b.serve().stop()
	if r := b.dtpx("ca", "path").ok(t); r.out != b.state("ca.pem")+"\n" {
		t.Errorf("path %q", r.out)
	}
	if r := b.dtpx("ca", "export").ok(t); r.out != b.read("ca.pem") {
		t.Errorf("export %q", r.out)
	}
	der := b.dtpx("ca", "export", "-der").ok(t).out
	sum := sha256.Sum256([]byte(der))
	if r := b.dtpx("ca", "show").ok(t); !strings.Contains(r.out, strings.ToUpper(hex.EncodeToString(sum[:]))) || !strings.Contains(r.out, b.state("ca.pem")) {
		t.Errorf("show %q", r.out)
	}
	b.dtpx("ca").complains(t, 2, "path, show or export")
	b.dtpx("ca", "nonsense").complains(t, 2, "nonsense")
	b.dtpx("ca", "install").complains(t, 1, "not in this version")
}

func TestCommands(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	if r := b.dtpx("version").ok(t); !regexp.MustCompile(`^dtpx \d\S*\n$`).MatchString(r.out) {
		t.Errorf("version %q", r.out)
	}
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}} {
		if r := b.dtpx(args...).ok(t); !strings.Contains(r.out, "dtpx serve") || r.err != "" {
			t.Errorf("%s: %q %q", args, r.out, r.err)
		}
	}
	if r := b.dtpx("get", "-h").ok(t); !strings.Contains(r.out, "-sha256") {
		t.Errorf("get -h: %q", r.out)
	}
	b.dtpx("nonsense").complains(t, 2, "nonsense", "dtpx help")
	b.dtpx("serve", "-nonsense").complains(t, 2, "nonsense")
	b.dtpx("serve", "nonsense").complains(t, 2, "nonsense")
	b.dtpx("status", "-nonsense").complains(t, 2, "nonsense")
	b.dtpx("config").complains(t, 2, "check")
	b.dtpx("group").complains(t, 2, "new", "join")
	b.dtpx("group", "nonsense").complains(t, 2, "nonsense")
	b.dtpx("group", "join").complains(t, 2, "CODE")
	b.dtpx("peers").complains(t, 1, "no node is running")
	for _, later := range []string{"setup", "why"} {
		b.dtpx(later).complains(t, 1, later, "not in this version")
	}
	if names := b.names("."); names != "" {
		t.Errorf("commands that start nothing left %s", names)
	}
}
