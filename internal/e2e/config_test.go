package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dtpx/internal/testbed/need"
)

func TestBadConfig(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	for _, c := range []struct {
		text string
		want []string
	}{
		{"accelerate:\n  windwo: 64MiB\n", []string{"proxy.yaml:2: ", "windwo", "window"}},
		{"lissten: 127.0.0.1:3128\n", []string{"proxy.yaml:1: ", "lissten", "listen"}},
		{"accelerate:\n  connections: many\n", []string{"proxy.yaml:2: ", "connections", "many"}},
		{"intercept: yes please\n", []string{"proxy.yaml:1: ", "intercept"}},
		{"accelerate: {min_size: 4 parsecs}\n", []string{"proxy.yaml:1: ", "4 parsecs"}},
		{"accelerate: {connections: 0}\n", []string{"proxy.yaml:1: ", "connections"}},
		{"users:\n  me: password\n", []string{"proxy.yaml:2: ", "bcrypt"}},
		{"allow: [10.0.0.0/99]\n", []string{"proxy.yaml:1: ", "10.0.0.0/99"}},
		{"a: [1\n", []string{"proxy.yaml:", "not YAML"}},
	} {
		file := b.write("proxy.yaml", c.text)
		b.dtpx("serve", "-listen", "127.0.0.1:0", "-config", file).complains(t, 1, c.want...)
		b.dtpx("config", "check", file).complains(t, 1, c.want...)
		b.dtpx("config", "check").complains(t, 1, c.want...) // ./proxy.yaml
		b.dtpx("get", "-config", file, "http://127.0.0.1:9/").complains(t, 1, c.want...)
	}
	if _, err := os.Stat(b.state()); err == nil {
		t.Error("a node with a bad config has made its state")
	}
	b.dtpx("serve", "-config", b.path("none.yaml")).complains(t, 1, "none.yaml", "no such file")
	b.dtpx("serve", "-config", b.home).complains(t, 1, b.home, "directory")
	b.dtpx("serve", "-listen", "nonsense").complains(t, 1, "-listen", "nonsense", "write it like")
	b.dtpx("serve", "-listen", "127.0.0.1:70000").complains(t, 1, "-listen", "70000", "write it like")
	b.dtpx("serve", "-listen", "192.0.2.1:0").complains(t, 1, "no address 192.0.2.1", "-listen")
	short := b.write("proxy.yaml", "cluster: {group: hostel, secret: hunter2}\n")
	for _, command := range []string{"serve -listen 127.0.0.1:0 -config ", "config check "} {
		r := b.dtpx(strings.Fields(command + short)...)
		r.complains(t, 1, "cluster.secret", "7 characters", "dtpx group new")
		if strings.Contains(r.err, "hunter2") {
			t.Errorf("%s shows the secret", command)
		}
	}
	b.dtpx("serve", "-listen", "127.0.0.1:0", "-config", b.write("proxy.yaml", "upstream_ca: /no/such.pem\n")).complains(t, 1, "upstream_ca", "/no/such.pem")
	b.dtpx("serve", "-listen", "127.0.0.1:0", "-config", b.write("proxy.yaml", "upstream_ca: proxy.yaml\n")).complains(t, 1, "upstream_ca", "no certificate")
	b.dtpx("serve", "-listen", "127.0.0.1:0", "-config", b.write("proxy.yaml", "accelerate: {interfaces: [nonesuch0]}\n")).complains(t, 1, "nonesuch0")
}

// The reference of all keys is a config that changes nothing.
func TestReferenceConfig(t *testing.T) {
	t.Parallel()
	file, err := filepath.Abs("../../proxy.yaml")
	must(t, err)
	b := newBox(t)
	b.dtpx("config", "check", file).ok(t)
	n := b.serve("-config", file)
	if n.log.String() != "" {
		t.Errorf("complains: %s", n.log.String())
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	b := newBox(t)
	b.dtpx("serve", "-listen", ln.Addr().String()).complains(t, 1, ln.Addr().String()+" is in use", "-listen")
	if _, err := os.Stat(b.state()); err == nil {
		t.Error("a node that cannot listen has made its state")
	}
}

// A second node with the state of a running one leaves that one's record alone.
func TestPortInUseByDtpx(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	n := b.serve()
	b.dtpx("serve", "-listen", n.addr).complains(t, 1, "is in use", "dtpx status")
	if r := b.dtpx("status").ok(t); !strings.Contains(r.out, n.addr) {
		t.Errorf("status says %s", r.out)
	}
}

func TestPrivilegedPort(t *testing.T) {
	need.Linux(t)
	t.Parallel()
	b := newBoxFor(t)
	if os.Geteuid() == 0 { // in containers everybody may listen on every port; a new network has the kernel's rule
		b.wrap = append([]string{need.Program(t, "unshare"), "--net", "sh", "-c", `ip link set lo up && exec "$@"`, "sh"}, b.wrap...)
	} else if start, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err != nil || strings.TrimSpace(string(start)) == "0" {
		need.Skip(t, "everybody may listen on every port here: run as root")
	}
	b.dtpx("serve", "-listen", "127.0.0.1:7").complains(t, 1, "may not listen on 127.0.0.1:7", "root")
}
