package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/need"
)

// apt-get update and install from a signed repository on this machine, through
// dtpx, into a root directory of its own.
func TestAptInstalls(t *testing.T) {
	need.Linux(t)
	for _, p := range []string{"apt-get", "apt-ftparchive", "dpkg-deb", "gpg"} {
		need.Program(t, p)
	}
	if os.Geteuid() != 0 {
		need.Skip(t, "needs root to install a package: run as root")
	}
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			makeRepository(b)
			o := origin(t, testbed.Config{Limits: testbed.Limits{PerConn: slow}, Files: http.FileServer(http.Dir(b.path("repo")))})
			n := b.serve("-config", b.config(o))
			base := o.HTTP
			if scheme == "https" {
				base = o.HTTPS
			}
			conf := aptConf(n, base)
			n.shell("apt-get -c " + conf + " update -q").ok(t)
			n.shell("apt-get -c " + conf + " install -q -y big").ok(t)
			if got, want := sum(t, b.path("root", "opt", "big.bin")), sum(t, b.path("pkg", "opt", "big.bin")); got != want {
				t.Errorf("installed %s, want %s", got, want)
			}
			accelerated(t, o, ".deb")
			for _, e := range o.Log().Entries() {
				if e.Method != http.MethodGet || e.Status >= 400 && !strings.Contains(e.URL, "Translation") {
					t.Errorf("%s %s: %d", e.Method, e.URL, e.Status)
				}
			}
		})
	}
}

// makeRepository makes home/repo with one package of 12 MiB, signed with a key
// of its own.
func makeRepository(b *box) {
	b.t.Helper()
	must(b.t, os.MkdirAll(b.path("pkg", "opt"), 0o755))
	writeContent(b.t, b.path("pkg", "opt", "big.bin"), testbed.Content{Seed: 9, Size: 12 << 20})
	b.write("pkg/DEBIAN/control", "Package: big\nVersion: 1.0\nArchitecture: all\nMaintainer: t <t@t.test>\nDescription: big\n")
	b.run("sh", "-ec", `
mkdir -p repo gnupg && chmod 700 gnupg
dpkg-deb -Znone --root-owner-group --build pkg repo/big_1.0_all.deb
touch -d "2 hours ago" repo/big_1.0_all.deb
cd repo && apt-ftparchive packages . >Packages && apt-ftparchive release . >../Release && mv ../Release Release
export GNUPGHOME=$HOME/gnupg
gpg -q --batch --passphrase "" --quick-gen-key t@t.test default default never 2>&1
gpg -q --batch --clearsign -o InRelease Release
gpg -q --batch --export -o ../key.gpg
gpgconf --kill all`).ok(b.t)
}

// aptConf writes an apt configuration in which nothing is the machine's, and
// makes the directories that it names.
func aptConf(n *node, base string) string {
	b := n.box
	b.write("root/etc/apt/sources.list", fmt.Sprintf("deb [signed-by=%s] %s/ ./\n", b.path("key.gpg"), base))
	for _, dir := range []string{"var/lib/dpkg/updates", "var/lib/dpkg/info", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log/apt", "etc/apt/apt.conf.d", "etc/apt/preferences.d"} {
		must(b.t, os.MkdirAll(filepath.Join(b.path("root"), dir), 0o755))
	}
	b.write("root/var/lib/dpkg/status", "")
	return b.write("apt.conf", fmt.Sprintf(`
Dir %[1]q;
Dir::State::status "%[1]s/var/lib/dpkg/status";
Dir::Etc::sourceparts "-";
APT::Architecture "amd64";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
DPkg::Options { "--root=%[1]s"; "--force-not-root"; };
Acquire::http::Proxy "http://%[2]s";
Acquire::https::Proxy "http://%[2]s";
Acquire::https::CAInfo %[3]q;
Acquire::Languages "none";
Acquire::Retries "0";
`, b.path("root"), n.addr, b.state("bundle.pem")))
}
