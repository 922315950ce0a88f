package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"dtpx/internal/testbed"
)

// sourceLine is one source's line of progress.
var sourceLine = regexp.MustCompile(`(?m)^  direct +100% .* connections, \d+ requests$`)

func TestGetWithoutANode(t *testing.T) {
	t.Parallel()
	o := slowOrigin(t)
	b := newBox(t)
	url := o.HTTPS + "/" + size + "/alone.bin"
	r := b.dtpx("get", "-config", b.config(o), "-sha256", o.Content(url).SHA256(), url).ok(t)
	same(t, b.path("alone.bin"), o, url)
	accelerated(t, o, "alone.bin")
	if !sourceLine.MatchString(r.err) || r.out != "" {
		t.Errorf("want one line per source on stderr, got %q and %q", r.err, r.out)
	}
	if left := b.names("."); left != "alone.bin origin-ca.pem proxy.yaml" {
		t.Errorf("left behind: %s", left)
	}
}

func TestGetThroughTheNode(t *testing.T) {
	t.Parallel()
	o := slowOrigin(t)
	b := newBox(t)
	n := b.serve("-config", b.config(o))
	url := o.HTTPS + "/" + size + "/by-node.bin"
	r := b.dtpx("get", "-o", "got", url).ok(t)
	same(t, b.path("got"), o, url)
	accelerated(t, o, "by-node.bin")
	if !sourceLine.MatchString(r.err) {
		t.Errorf("no line per source: %q", r.err)
	}
	if ds := n.downloads(); len(ds) != 1 || ds[0].URL != url || ds[0].State != "done" || ds[0].Sent != ds[0].Size {
		t.Errorf("the node does not know the download: %+v", ds)
	}
}

func TestGetWritesToStandardOutput(t *testing.T) {
	t.Parallel()
	o := slowOrigin(t)
	b := newBox(t)
	url := o.HTTP + "/6MiB/stdout"
	r := b.dtpx("get", "-o", "-", url).ok(t)
	if err := o.Content(url).Verify(strings.NewReader(r.out)); err != nil {
		t.Error(err)
	}
	if left := b.names("."); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestGetSeveralAndRedirects(t *testing.T) {
	t.Parallel()
	o := slowOrigin(t)
	b := newBox(t)
	b.dtpx("get", o.HTTP+"/1MiB/one", o.HTTP+"/2MiB/two", o.HTTP+"/6MiB/three?redirect=302").ok(t)
	same(t, b.path("one"), o, o.HTTP+"/1MiB/one")
	same(t, b.path("two"), o, o.HTTP+"/2MiB/two")
	same(t, b.path("three"), o, o.HTTP+"/6MiB/three")
}

func TestGetRefusesTheWrongSum(t *testing.T) {
	t.Parallel()
	o := slowOrigin(t)
	b := newBox(t)
	url := o.HTTP + "/5MiB/sum"
	wrong := strings.Repeat("0", 64)
	r := b.dtpx("get", "-sha256", wrong, url)
	if r.code != 1 || !strings.Contains(lastLine(r.err), "sha256 is "+o.Content(url).SHA256()) {
		t.Errorf("exit status %d: %s", r.code, r.err)
	}
	if left := b.names("."); left != "sum.part" {
		t.Errorf("left behind: %s", left)
	}
	b.dtpx("get", "-c", "-sha256", o.Content(url).SHA256(), url).ok(t)
	same(t, b.path("sum"), o, url)
}

// What was typed may end in a log of somebody's: no query in it.
func TestGetFailsWithoutTheQuery(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	for _, node := range []bool{false, true} {
		if node {
			b.serve()
		}
		r := b.dtpx("get", "-o", "x", "http://ann:s3cret@"+freeAddr(t)+"/x?token=s3cret")
		r.complains(t, 1, "connection refused", "/x?…")
		if strings.Contains(r.err, "s3cret") {
			t.Errorf("says %s", r.err)
		}
	}
}

func TestGetFails(t *testing.T) {
	t.Parallel()
	o := origin(t, testbed.Config{})
	b := newBox(t)
	down := "http://" + freeAddr(t) + "/x"
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"get", o.HTTP + "/1MiB/no?fault=404"}, 1, "404 Not Found"},
		{[]string{"get", o.HTTP + "/1MiB/no?fault=403"}, 1, "403 Forbidden"},
		{[]string{"get", o.HTTPS + "/1MiB/no"}, 1, "certificate"},
		{[]string{"get", down}, 1, "refused"},
		{[]string{"get", "-o", b.path("no", "dir"), o.HTTP + "/1MiB/x"}, 1, "no such file or directory"},
		{[]string{"get"}, 2, "wants a URL"},
		{[]string{"get", "ftp://h/x"}, 2, "no http or https URL"},
		{[]string{"get", "-o", "x", o.HTTP + "/1/a", o.HTTP + "/1/b"}, 2, "one URL"},
		{[]string{"get", "-c", "-o", "-", o.HTTP + "/1/a"}, 2, "standard output"},
		{[]string{"get", "-sha256", "12", o.HTTP + "/1/a"}, 2, "64 hex digits"},
		{[]string{"get", "-nonsense", o.HTTP + "/1/a"}, 2, "nonsense"},
	} {
		b.dtpx(c.args...).complains(t, c.code, c.want)
	}
	if left := b.names("."); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// A file of another version is fetched anew, never joined to the old bytes.
func TestGetGoesOnOnlyWithTheSameVersion(t *testing.T) {
	t.Parallel()
	v := &versions{}
	o := origin(t, testbed.Config{Limits: testbed.Limits{PerConn: slow}, Files: v})
	b := newBox(t)
	url := o.HTTP + "/file"
	b.breakOff(nil, os.Interrupt, o, url)
	v.now.Store(1)
	o.Reset()
	r := b.dtpx("get", "-c", url).ok(t)
	if got, want := sum(t, b.path("file")), v.content().SHA256(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if !strings.Contains(r.err, "the file has changed; starting anew") {
		t.Errorf("does not say so: %s", r.err)
	}
}

func (b *box) names(dir string) string {
	b.t.Helper()
	entries, err := os.ReadDir(b.path(dir))
	must(b.t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func lastLine(s string) string {
	s = strings.TrimSuffix(s, "\n")
	return s[strings.LastIndexByte(s, '\n')+1:]
}
