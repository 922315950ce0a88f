package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

const reference = "../../../../proxy.yaml"

func TestReferenceIsTheDefault(t *testing.T) {
	cfg, err := Load(reference)
	if err != nil {
		t.Fatal(err)
	}
	if diff := Changed(Default(), cfg); len(diff) > 0 {
		t.Errorf("proxy.yaml differs from Default() in %v", diff)
	}
}

func TestReferenceHasEveryKey(t *testing.T) {
	data, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	p := &parser{name: "proxy.yaml"}
	cfg := Default()
	p.section("", p.document(data), &cfg)
	for _, key := range Keys() {
		if p.lines[key] == 0 {
			t.Errorf("proxy.yaml lacks %s", key)
		}
	}
}

func TestNothingIsTheDefault(t *testing.T) {
	for _, data := range []string{"", "# only a comment\n", "---\n", "accelerate:\n  # all commented out\n", "null"} {
		if cfg, err := Parse("f", []byte(data)); err != nil || len(Changed(Default(), cfg)) > 0 {
			t.Errorf("%q: %v %v", data, err, Changed(Default(), cfg))
		}
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	hash := "$2a$04$abcdefghijklmnopqrstuuGjCuPg6eWwlR3PIjMP8v1nXiPRb0cEW"
	cfg, err := Parse("f", []byte(`
listen: ":0"
state: /var/lib/dtpx
allow: [10.0.0.0/8, 192.168.1.7]
users: {ann: "`+hash+`"}
upstream: socks5://user:pw@proxy.example:1080
upstream_ca: /etc/extra.pem
intercept: {enabled: false, only: ["*.example.org"], never: [bank.example, "::1"], learn: false}
accelerate: {enabled: false, min_size: 1.5MiB, window: 8MiB, memory: 1GB, connections: 3, interfaces: [eth1], never: ["?.de"]}
cluster:
  group: home
  secret: correct horse
  listen: 10.0.0.1:4000
  mdns: false
  interfaces: [wlan0]
  join: ["other.lan:3129", "[fe80::1]:3129"]
  advertise: 192.168.1.2
  trust: [0123456789abcdef0123]
  credentials: ["*.example"]
  cap: 1GiB/day
  spend: fair
  borrow: false
  lend: {enabled: false, quota: 0, reset: "06:30", rate: 20Mbit/s, connections: 1, ports: [8443], allow: ["fd00::/8"]}
cache: {enabled: false, dir: /cache, size: 1TiB, share: false, keys: ["*.example.org token expires"]}
log: {level: debug, format: json}
`))
	if err != nil {
		t.Fatal(err)
	}
	changed := Changed(Default(), cfg)
	var missed []string
	for _, key := range Keys() {
		if key != "cluster.secret_file" && !contains(changed, key) {
			missed = append(missed, key)
		}
	}
	if len(missed) > 0 {
		t.Errorf("had no effect: %v", missed)
	}
	if a := cfg.Accelerate; a.MinSize != 1536*KiB || a.Memory != 1e9 || cfg.Cluster.Lend.Rate != 2_500_000 {
		t.Errorf("%+v", a)
	}
	if cfg.Allow[1] != netip.MustParsePrefix("192.168.1.7/32") || cfg.Cluster.Trust.Mode != "nodes" {
		t.Errorf("%v %v", cfg.Allow, cfg.Cluster.Trust)
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func TestComplaints(t *testing.T) {
	for _, x := range []struct{ yaml, want string }{
		{"listn: 1", "f:1: unknown key listn: did you mean listen?"},
		{"\nwindow: 8MiB", "f:2: unknown key window: did you mean accelerate.window?"},
		{"accelerate:\n  conections: 3", "f:2: unknown key accelerate.conections: did you mean accelerate.connections?"},
		{"accelerate: {min-size: 1MiB}", "did you mean accelerate.min_size?"},
		{"zzzzzzzzz: 1", "proxy.yaml lists all of them"},
		{"listen: 3128", `want text, not a number`},
		{"listen: \"3128\"", "write it like 127.0.0.1:3128"},
		{"listen: example.org:1", "listen on an IP address"},
		{"listen: 127.0.0.1:70000", "no address to listen on"},
		{"listen:", "f:1: listen: has no value"},
		{"listen: [a]", "want a single value, not a list"},
		{"listen: a:1\nlisten: b:1", "f:2: listen is set again; first in line 1"},
		{"allow: 127.0.0.1", "allow must be a list"},
		{"allow:\n  - 127.0.0.1/8\n", "f:2: allow, entry 1: 127.0.0.1/8 has bits set behind its length: write 127.0.0.0/8"},
		{"users: {ann: secret}", "users.ann: want a bcrypt hash"},
		{"users: [ann]", "users must be names with values"},
		{"upstream: proxy:3128", "upstream: "},
		{"upstream: ftp://proxy", "write http://host:port"},
		{"upstream: http://u:geheim@proxy/path", `"…@proxy/path": a parent proxy is a host and a port`},
		{"intercept: true", "intercept must be keys with values, not true or false"},
		{"intercept: {enabled: yes}", `want true or false, not "yes"`},
		{"intercept: {never: [\"https://a.example\"]}", "is no host pattern"},
		{"intercept: {never: [\"a.example:443\"]}", "is no host pattern"},
		{"accelerate: {min_size: 4}", `"4" is no size: write a number and a unit, like 8MiB or 1GiB`},
		{"accelerate: {min_size: 4 MiB}", "is no size"},
		{"accelerate: {min_size: -4MiB}", "is no size"},
		{"accelerate: {min_size: 1KiB}", "1KiB is too little: at least 64KiB"},
		{"accelerate: {window: 1TiB}", "1TiB is too much: at most 64GiB"},
		{"accelerate: {window: 512MiB}", "accelerate.window (512MiB) is larger than accelerate.memory (256MiB)"},
		{"accelerate: {connections: 0}", "0 is out of range: 1 to 256"},
		{"accelerate: {connections: 1.5}", "want a whole number"},
		{"accelerate: {connections: \"3\"}", "want a whole number"},
		{"cluster: {lend: {ports: [80, 0]}}", "cluster.lend.ports, entry 2: 0 is out of range"},
		{"cluster: {lend: {rate: 20Mbit}}", "is no rate: write a number, a unit and /s"},
		{"cluster: {lend: {rate: 1B/s}}", "1B/s is too little"},
		{"cluster: {lend: {quota: 256MiB}}", "is no quota"},
		{"cluster: {lend: {reset: \"24:00\"}}", "is no time of day"},
		{"cluster: {trust: everyone}", "none of digests, group, or a list of node keys"},
		{"cluster: {trust: [x]}", "is no node key"},
		{"cluster: {trust: [4vi4vfgj]}", "dtpx peers -json"}, // what dtpx peers prints
		{"cluster: {spend: slow}", "none of fastest, fair"},
		{"cluster: {join: [a]}", "write host:port"},
		{"cluster: {group: a}", "needs cluster.secret"},
		{"cluster: {secret: a}", "needs cluster.group"},
		{"state: ~/x", "the shell's"},
		{"log: &a {level: info}", "anchors and aliases"},
		{"intercept: {never: [&a x, *a]}", "not an alias"},
		{"log: {level: loud}", `"loud" is none of debug, info, warn, error`},
		{"a: b: c", "f:1: not YAML: mapping values"},
		{"log: {}\nlisten: [", "f:2: not YAML"},
		{"listen: a:1\n---\nlisten: a:1", "f:2: a second document"},
		{"- a", "f:1: the file must be keys with values, not a list"},
		{"[a]: b", "a key must be a word"},
	} {
		_, err := Parse("f", []byte(x.yaml))
		if err == nil || !strings.Contains(err.Error(), x.want) || !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("%q:\n got %v\nwant %s", x.yaml, err, x.want)
		}
	}
}

func TestAllComplaintsInTheOrderOfLines(t *testing.T) {
	_, err := Parse("f", []byte("log: {level: x}\nwat: 1\nlisten: 5\naccelerate:\n  window: 1\n"))
	errs, ok := err.(Errors)
	if !ok || len(errs) != 4 {
		t.Fatal(err)
	}
	for i, line := range []string{"f:1:", "f:2:", "f:3:", "f:5:"} {
		if !strings.HasPrefix(errs[i].Error(), line) {
			t.Errorf("%d: %v", i, errs[i])
		}
	}
}

func TestLoadSaysWhatIsWrongWithTheFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none.yaml")); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Error(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Error(err)
	}
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(big); err == nil || !strings.Contains(err.Error(), "right file") {
		t.Error(err)
	}
}

func TestUnits(t *testing.T) {
	for s, want := range map[string]Size{"0": 0, "1B": 1, "1.5KiB": 1536, "0.1KiB": 102, "3MB": 3e6, "2TiB": 2 * TiB} {
		if got, err := ParseSize(s); got != want || err != nil {
			t.Errorf("ParseSize(%q) = %d, %v", s, got, err)
		}
	}
	for s, want := range map[string]Rate{"0": 0, "8kbit/s": 1000, "1Gbit/s": 125e6, "4MiB/s": 4 << 20, "0.5MB/s": 5e5} {
		if got, err := ParseRate(s); got != want || err != nil {
			t.Errorf("ParseRate(%q) = %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "MiB", "1e3MiB", "1/2MiB", "0x1MiB", ".5MiB", "5.MiB", "1mib", "+1MiB", "99999999TiB", "1MiB/s", "1_0MiB"} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", s, got)
		}
	}
}

// Durations have no key yet; the reader knows them for the first one that comes.
func TestDuration(t *testing.T) {
	var d time.Duration
	f := field{v: reflect.ValueOf(&d).Elem(), min: "1s", max: "1h"}
	for s, ok := range map[string]bool{"30s": true, "2h": false, "1ms": false, "30": false, "-5s": false} {
		err := scalar(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}, f)
		if (err == nil) != ok {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// The password for a parent proxy is in no complaint: serve logs them when a file
// is reloaded.
func TestComplaintsHoldNoPassword(t *testing.T) {
	for _, url := range []string{
		"http://ann:s3cret@proxy:port", "ann:s3cret@proxy:8080", "//ann:s3cret@proxy", "ftp://ann:s3cret@proxy", "http://ann:s3cret@",
		"http://ann:s3cret@proxy/path", "http://ann:s3cret%@proxy:1", "http://ann:s3cret@proxy:1?x", "http ://ann:s3cret@proxy", "ann:s3cret/x@proxy:1",
		"http://ann:s3cret@proxy:0", "http:ann:s3cret@proxy", "http://ann:p:s3cret@[::1", "http://ann:s3 cret@proxy:x",
	} {
		_, err := Parse("proxy.yaml", []byte("upstream: '"+url+"'\n"))
		if err == nil || !strings.HasPrefix(err.Error(), "proxy.yaml:1: upstream: ") || strings.Contains(err.Error(), "cret") || strings.Contains(err.Error(), "s3") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
