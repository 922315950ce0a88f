package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// The group of the config file goes before that of dtpx group, and leaving the
// latter ends nothing: whoever leaves is told.
func TestLeaveBesideConfig(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	const group = "cluster: {group: house, secret: five random words of somebody, interfaces: [lo], mdns: false, listen: '127.0.0.1:%d'}\n"
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	config := b.write("proxy.yaml", fmt.Sprintf(group, taken.Addr().(*net.TCPAddr).Port))
	for _, running := range []bool{false, true} {
		b.dtpx("group", "new", "-config", config).ok(t)
		if running {
			b.serve("-config", config)
		}
		r := b.dtpx("group", "leave", "-config", config).ok(t)
		if strings.Contains(r.out, "Nothing listens") || !strings.Contains(r.out, config+` names group "house"`) {
			t.Errorf("leave says: %s", r.out)
		}
	}
	for _, command := range []string{"status", "peers"} {
		if r := b.dtpx(command).ok(t); !strings.Contains(r.out, `not in group "house": peer port`) || !strings.Contains(r.out, "cluster.listen") {
			t.Errorf("%s says: %s", command, r.out)
		}
	}
	plain := newBox(t)
	plain.dtpx("group", "new").ok(t)
	if r := plain.dtpx("group", "leave").ok(t); !strings.Contains(r.out, "Nothing listens") {
		t.Errorf("leave says: %s", r.out)
	}
}

// The node's config is found from wherever dtpx group is typed.
func TestConfigFromElsewhere(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	file := b.write("proxy.yaml", "cluster: {lend: {quota: 7MiB/day}}\n")
	b.serve("-config", "proxy.yaml") // in its home
	b.wrap = []string{"sh", "-c", `cd / && exec "$@"`, "sh"}
	if r := b.dtpx("group", "new").ok(t); !strings.Contains(r.out, "7.0 MiB a day") || !strings.Contains(r.out, "(now: "+file+")") {
		t.Errorf("group new says: %s", r.out)
	}
}
