package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// kills is how often each way to be killed is tried.
const kills = 20

// kill -9 at any instant of a first start leaves a state from which the next
// start goes on, with the CA that was there, if it was.
func TestKilledWhileItStarts(t *testing.T) {
	t.Parallel()
	for range kills {
		b := newBox(t)
		n := b.start("serve", "-listen", "127.0.0.1:0")
		after(rand.N(60 * time.Millisecond))
		n.kill()
		key, cert := b.read("ca-key.pem"), b.read("ca.pem")
		if cert != "" && key == "" {
			t.Fatal("a certificate without a key")
		}
		again := b.serve()
		whole(t, again, key, cert)
		again.stop()
	}
}

// The same while it downloads and while it stops.
func TestKilledWhileItDownloads(t *testing.T) {
	t.Parallel()
	o := slowOrigin(t)
	b := newBox(t)
	config := b.config(o)
	b.serve("-config", config).stop()
	key, cert := b.read("ca-key.pem"), b.read("ca.pem")
	for i := range kills {
		n := b.serve("-config", config)
		url := fmt.Sprintf("%s/8MiB/file%d", o.HTTPS, i) // not one that is cached
		c := n.curl(url)
		if i%2 == 1 {
			n.signal(syscall.SIGTERM)
		}
		after(rand.N(400 * time.Millisecond))
		n.kill()
		if c.wait() == 0 { // it was whole before
			same(t, c.file, o, url)
		}
		must(t, os.Remove(c.file))
		whole(t, n, key, cert)
	}
	n := b.serve("-config", config)
	c := n.curl(o.HTTPS + "/8MiB/file")
	if code := c.wait(); code != 0 {
		t.Errorf("curl after %d kills: exit status %d: %s", kills, code, c.log.String())
	}
	if n.log.has("level=WARN") || n.log.has("level=ERROR") {
		t.Errorf("complains: %s", n.log.String())
	}
}

// after waits for an instant that nothing else marks.
func after(d time.Duration) { <-time.After(d) }

// whole checks the state: what was there of the CA is unchanged, JSON is whole,
// and what else lies around is hidden and does not grow.
func whole(t *testing.T, n *node, key, cert string) {
	t.Helper()
	if got := n.read("ca-key.pem"); key != "" && got != key {
		t.Error("the CA key has changed")
	}
	if got := n.read("ca.pem"); cert != "" && got != cert {
		t.Error("the CA certificate has changed")
	}
	entries, err := os.ReadDir(n.state())
	must(t, err)
	if len(entries) > 2*kills {
		t.Errorf("%d files in the state", len(entries))
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, "."): // swept later
		case name == "cache" && e.IsDir(): // has its own tests
		case name == "ledger.json": // JSON by line
			for line := range strings.Lines(n.read(name)) {
				if !json.Valid([]byte(line)) {
					t.Errorf("%s is broken: %q", name, line)
				}
			}
		case filepath.Ext(name) == ".json":
			if text := n.read(name); !json.Valid([]byte(text)) {
				t.Errorf("%s is broken: %q", name, text)
			}
		case name != "ca.pem" && name != "ca-key.pem" && name != "token" && name != "bundle.pem" && name != "lock":
			t.Errorf("unknown file %s", name)
		}
	}
}

// read returns a file of the state, "" where there is none.
func (b *box) read(name string) string {
	b.t.Helper()
	data, err := os.ReadFile(b.state(name))
	if err != nil && !os.IsNotExist(err) {
		b.t.Fatal(err)
	}
	return string(data)
}

// What a crash long ago left is removed when its file is written again.
func TestLeftoversAreSwept(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.serve().stop()
	old := time.Now().Add(-2 * time.Hour)
	for _, name := range []string{".bundle.pem-123", ".node.json-123", ".ca-key.pem.123"} {
		must(t, os.WriteFile(b.state(name), []byte("x"), 0o600))
		must(t, os.Chtimes(b.state(name), old, old))
	}
	must(t, os.WriteFile(b.state(".bundle.pem-456"), []byte("x"), 0o600)) // of another process, perhaps
	b.serve().stop()
	left, err := filepath.Glob(b.state(".*"))
	must(t, err)
	if len(left) != 1 || filepath.Base(left[0]) != ".bundle.pem-456" {
		t.Errorf("left: %v", left)
	}
}
