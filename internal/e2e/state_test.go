package e2e

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"testing"
	"time"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/need"
)

// A CA that cannot be used is never replaced: people trust it. The message says
// which file and what to do.
func TestUnusableCA(t *testing.T) {
	t.Parallel()
	other := newBox(t)
	other.serve().stop()
	for name, c := range map[string]struct {
		spoil func(b *box)
		want  []string
	}{
		"half key":         {func(b *box) { b.halve("ca-key.pem") }, []string{"ca-key.pem", "cannot be used", "restore"}},
		"half certificate": {func(b *box) { b.halve("ca.pem") }, []string{"ca.pem", "cannot be used", "restore"}},
		"empty key":        {func(b *box) { b.put("ca-key.pem", "") }, []string{"ca-key.pem", "cannot be used"}},
		"no key":           {func(b *box) { must(t, os.Remove(b.state("ca-key.pem"))) }, []string{"ca-key.pem"}},
		"mismatch":         {func(b *box) { b.put("ca.pem", other.read("ca.pem")) }, []string{"ca.pem", "ca-key.pem", "do not belong together"}},
		"expired":          {func(b *box) { b.put("ca.pem", b.expired()) }, []string{"ca.pem", "expired on", "delete it"}},
		"unreadable":       {func(b *box) { must(t, os.Chmod(b.state("ca-key.pem"), 0)) }, []string{"ca-key.pem", "permission denied"}},
		"a directory": {func(b *box) {
			must(t, os.Remove(b.state("ca.pem")))
			must(t, os.Mkdir(b.state("ca.pem"), 0o755))
		}, []string{"ca.pem", "directory"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBoxFor(t)
			b.serve().stop()
			c.spoil(b)
			key, cert := sizeOf(b.state("ca-key.pem")), sizeOf(b.state("ca.pem"))
			b.dtpx("serve", "-listen", "127.0.0.1:0").complains(t, 1, c.want...)
			if sizeOf(b.state("ca-key.pem")) != key || sizeOf(b.state("ca.pem")) != cert {
				t.Error("the files have changed")
			}
		})
	}
}

func (b *box) put(name, text string) {
	b.t.Helper()
	must(b.t, os.WriteFile(b.state(name), []byte(text), 0o600))
}

func (b *box) halve(name string) {
	b.t.Helper()
	text := b.read(name)
	b.put(name, text[:len(text)/2])
}

// expired is the CA's certificate, as it will be in ten years.
func (b *box) expired() string {
	b.t.Helper()
	block, _ := pem.Decode([]byte(b.read("ca-key.pem")))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(b.t, err)
	key := parsed.(*ecdsa.PrivateKey)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	must(b.t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestStateThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	b := newBoxFor(t)
	must(t, os.Mkdir(b.path("ro"), 0o555))
	b.dtpx("serve", "-listen", "127.0.0.1:0", "-state", b.path("ro")).complains(t, 1, b.path("ro"), "permission denied")
	b.dtpx("serve", "-listen", "127.0.0.1:0", "-state", b.path("ro", "below")).complains(t, 1, b.path("ro", "below"), "permission denied", "-state")
	file := b.write("file", "")
	b.dtpx("serve", "-listen", "127.0.0.1:0", "-state", file).complains(t, 1, file, "not a directory", "-state")
}

// A second node would overwrite what the first has learnt, and take its place in
// node.json. It says who is there; the first goes on as if nothing had been.
func TestStateInUse(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	n := b.serve()
	b.dtpx("serve", "-listen", "127.0.0.1:0", "-state", b.state()).complains(t, 1, n.addr, b.state(), "-state")
	b.dtpx("status", "-state", b.state()).ok(t)
}

// What was learnt about hosts is only a help: damaged, it is started anew.
func TestDamagedHosts(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.serve().stop()
	b.put("hosts.json", `{"half`)
	b.put("token", "short")
	b.put("node.json", "{")
	n := b.serve()
	if !n.log.has("hosts.json") || !n.log.has("starting without") {
		t.Errorf("does not say so: %s", n.log.String())
	}
	if token := b.read("token"); len(token) < 32 {
		t.Errorf("token %q", token)
	}
	b.dtpx("status").ok(t)
}

// mount makes a file system of some size.
func (b *box) mount(name, size string) string {
	b.t.Helper()
	need.Linux(b.t)
	if os.Geteuid() != 0 {
		need.Skip(b.t, "needs root to mount a file system: run as root")
	}
	dir := b.path(name)
	must(b.t, os.Mkdir(dir, 0o755))
	if r := b.run("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir); r.code != 0 {
		need.Skip(b.t, "cannot mount a file system here: %s", r.err)
	}
	b.t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			b.t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	disk := b.mount("disk", "64k") // the bundle alone is more
	b.dtpx("serve", "-listen", "127.0.0.1:0", "-state", disk+"/state").complains(t, 1, "write", disk, "no space left on device")
	o := origin(t, testbed.Config{})
	b.dtpx("get", "-o", disk+"/file", o.HTTP+"/1MiB/x").complains(t, 1, "write", "no space left on device")
}

// A node whose disk has run full serves on, and keeps what it has.
func TestDiskThatRunsFull(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	disk := b.mount("disk", "2m")
	must(t, os.MkdirAll(b.path(".local", "state"), 0o755))
	must(t, os.Symlink(disk, b.state()))
	b.serve().stop()
	key, cert := b.read("ca-key.pem"), b.read("ca.pem")
	o := slowOrigin(t)
	n := b.serve("-config", b.config(o))
	b.run("sh", "-c", `cat /dev/zero >"$1"; true`, "sh", disk+"/ballast")
	c := n.curl(o.HTTPS + "/" + size + "/x")
	if code := c.wait(); code != 0 {
		t.Errorf("curl: exit status %d: %s", code, c.log.String())
	}
	n.stop() // what was learnt about the host is to be written here
	if !n.log.has("no space left") {
		t.Errorf("does not say that the disk is full: %s", n.log.String())
	}
	n = b.serve("-config", b.config(o)) // and starts on it
	if code := n.curl(o.HTTPS + "/" + size + "/y").wait(); code != 0 {
		t.Errorf("curl: exit status %d", code)
	}
	n.stop()
	must(t, os.Remove(disk+"/ballast"))
	whole(t, b.serve(), key, cert)
}

// A node of another user, as systemd's, is not "no node".
func TestStateOfSomebodyElse(t *testing.T) {
	need.Linux(t)
	t.Parallel()
	b := newBoxFor(t)
	b.serve()
	must(t, os.Chmod(b.state(), 0))
	t.Cleanup(func() { _ = os.Chmod(b.state(), 0o700) }) // before the node's end
	for _, command := range []string{"status", "peers"} {
		b.dtpx(command).complains(t, 1, "permission denied", "as the user")
	}
	b.dtpx("status", "-state", b.path("other")).complains(t, 1, "no node is running", b.path("other"), "-state")
}
