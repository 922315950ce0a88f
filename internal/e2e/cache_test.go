package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"dtpx/internal/testbed"
)

// get fetches a URL with curl and returns its Cache-Status; the file is checked.
func (n *node) get(o *testbed.Origin, url string, args ...string) string {
	n.t.Helper()
	out := n.path("got")
	n.shell(`out=$1 url=$2; shift 2; curl -sSf -o "$out" -D "$out.head" "$@" "$url"`, append([]string{out, url}, args...)...).ok(n.t)
	same(n.t, out, o, url)
	head, err := os.ReadFile(out + ".head")
	must(n.t, err)
	for line := range strings.Lines(string(head)) {
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Cache-Status") {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// The second download of a file costs the origin nothing, over http and https,
// also after a restart; people can look into the cache and take things out.
func TestCached(t *testing.T) {
	t.Parallel()
	o := origin(t, testbed.Config{})
	b := newBox(t)
	config := b.config(o)
	n := b.serve("-config", config)
	urls := []string{o.HTTP + "/8MiB/plain", o.HTTPS + "/8MiB/secret", o.HTTPS + "/10KiB/small"}
	for _, url := range urls {
		if cs := n.get(o, url); !strings.Contains(cs, "stored") {
			t.Errorf("%s: %q", url, cs)
		}
	}
	asked := len(o.Log().Entries())
	for range 2 {
		for _, url := range urls {
			if cs := n.get(o, url); !strings.HasPrefix(cs, "dtpx; hit") {
				t.Errorf("%s: %q", url, cs)
			}
		}
		n.stop()
		n = b.serve("-config", config)
	}
	if now := len(o.Log().Entries()); now != asked {
		t.Errorf("the origin was asked %d times more", now-asked)
	}
	n.get(o, urls[0])
	if d := n.downloads(); len(d) == 0 || d[0].Cache != "hit" || d[0].Sent != 8<<20 || d[0].State != "done" {
		t.Errorf("downloads: %+v", d)
	}
	if ls := b.dtpx("cache", "ls").ok(t).out; strings.Count(ls, "\n") != 3 || !strings.Contains(ls, "/8MiB/secret") {
		t.Errorf("ls: %s", ls)
	}
	if stat := b.dtpx("cache", "stat").ok(t).out; !strings.Contains(stat, "in 3 responses") {
		t.Errorf("stat: %s", stat)
	}
	var doc struct{ Hits, Entries int }
	must(t, json.Unmarshal([]byte(n.page("/api/v1/cache")), &doc))
	if doc.Hits != 1 || doc.Entries != 3 {
		t.Errorf("api: %+v", doc)
	}
	if !strings.Contains(n.page("/metrics"), "dtpx_cache_hits_total 1\n") {
		t.Error("metrics do not count the hit")
	}
	b.dtpx("cache", "verify").ok(t)
	b.dtpx("cache", "rm", urls[1]).ok(t)
	b.dtpx("cache", "rm", urls[1]).complains(t, 1, "nothing is cached")
	if cs := n.get(o, urls[1]); !strings.Contains(cs, "fwd=uri-miss") {
		t.Errorf("after rm: %q", cs)
	}
	n.stop()
	b.dtpx("cache", "ls").ok(t) // without a node
	if r := b.dtpx("cache", "purge", "-json").ok(t); strings.TrimSpace(r.out) != `{"removed":3}` {
		t.Errorf("purge: %s", r.out)
	}
	if r := b.dtpx("cache", "ls").ok(t); !strings.Contains(r.out, "empty") {
		t.Errorf("ls of an empty cache: %s", r.out)
	}
}

// A download that was broken off by kill -9 of dtpx goes on from what the cache
// holds: repeated, with curl -C - and with wget -c.
func TestCacheResumes(t *testing.T) {
	for name, how := range map[string]string{
		"repeated":  `curl -sSf -o "$1" "$2"`,
		"curl -C -": `curl -sSf -C - -o "$1" "$2"`,
		"wget -c":   `wget -q --ca-certificate="$SSL_CERT_FILE" -c -O "$1" "$2"`,
		"dtpx get":  "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := slowOrigin(t)
			b := newBox(t)
			config := b.config(o)
			n := b.serve("-config", config)
			url := o.HTTPS + "/24MiB/file"
			c := n.curl(url)
			eventually(t, "a part of the file", func() bool { return sizeOf(c.file) > 6<<20 })
			n.kill()
			c.wait()
			part := b.path("resumed")
			must(t, os.Rename(c.file, part))
			had := sizeOf(part)
			before := len(o.Log().For("/file"))
			n = b.serve("-config", config)
			if how == "" {
				must(t, os.Remove(part))
				b.dtpx("get", "-o", "resumed", url).ok(t)
			} else {
				n.shell(how, part, url).ok(t)
			}
			same(t, part, o, url)
			// Different bytes: what a starved engine asks for twice is other tests' concern.
			cost := o.Log().Since("/file", before).Unique
			if most := int64(24<<20) - had + 1<<20; cost > most {
				t.Errorf("%d bytes were there, and %d were fetched", had, cost)
			}
		})
	}
}

// kill -9 at any instant of a download never leaves a byte in the cache that is
// served wrong afterwards.
func TestCacheSurvivesKills(t *testing.T) {
	t.Parallel()
	o := origin(t, testbed.Config{Limits: testbed.Limits{PerConn: 8 << 20}})
	b := newBox(t)
	config := b.config(o)
	for i := range kills {
		n := b.serve("-config", config)
		url := fmt.Sprintf("%s/16MiB/kill%d", o.HTTP, i%3)
		c := n.curl(url)
		after(rand.N(300 * time.Millisecond))
		n.kill()
		c.wait()
		must(t, os.RemoveAll(c.file))
	}
	n := b.serve("-config", config)
	for i := range 3 {
		n.get(o, fmt.Sprintf("%s/16MiB/kill%d", o.HTTP, i))
		if cs := n.get(o, fmt.Sprintf("%s/16MiB/kill%d", o.HTTP, i)); !strings.HasPrefix(cs, "dtpx; hit") {
			t.Errorf("%q", cs)
		}
	}
	if n.log.has("level=WARN") || n.log.has("level=ERROR") {
		t.Errorf("complains: %s", n.log.String())
	}
}

// A disk that is too small for the cache costs nobody a download; a second dtpx
// on the same directory says so and stops.
func TestCacheDisk(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	disk := b.mount("disk", "24m")
	o := origin(t, testbed.Config{})
	config := b.config(o, "cache: {dir: "+disk+"/cache}")
	n := b.serve("-config", config)
	for i := range 4 {
		n.get(o, fmt.Sprintf("%s/12MiB/file%d", o.HTTPS, i))
	}
	b.run("sh", "-c", `cat /dev/zero >"$1"; true`, "sh", disk+"/ballast")
	for i := range 2 {
		n.get(o, fmt.Sprintf("%s/12MiB/more%d", o.HTTPS, i))
	}
	if lines := strings.Count(n.log.String(), "level=WARN"); lines > 1 {
		t.Errorf("complains %d times: %s", lines, n.log.String())
	}
	b.dtpx("serve", "-listen", "127.0.0.1:0", "-state", b.path("other"), "-config", config).complains(t, 1, "in use", "cache.dir")
	b.dtpx("cache", "ls", "-state", b.path("other"), "-config", config).complains(t, 1, "in use")
}

// A cache that cannot be used is one line in the log, and commands say why it has
// nothing, with a node and without one; downloads go on.
func TestCacheOff(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	o := origin(t, testbed.Config{})
	dir := b.write("file", "in the way") + "/cache"
	config := b.config(o, "cache: {dir: "+dir+"}")
	n := b.serve("-config", config)
	n.get(o, o.HTTPS+"/8MiB/file")
	commands := func() {
		for _, what := range []string{"ls", "rm " + o.HTTPS + "/8MiB/file", "purge", "verify"} {
			b.dtpx(strings.Fields("cache "+what+" -config "+config)...).complains(t, 1, "cache is off", "not a directory")
		}
		if r := b.dtpx("cache", "stat", "-config", config).ok(t); !strings.Contains(r.out, "OFF") || !strings.Contains(r.out, "not a directory") {
			t.Errorf("stat: %s", r.out)
		}
	}
	commands()
	n.stop()
	if said := n.log.String(); strings.Count(said, "level=WARN") != 1 || !strings.Contains(said, "cache is off") {
		t.Errorf("the log says: %s", said)
	}
	commands()
}
