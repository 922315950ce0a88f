package gossip

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// memberlist takes "fe80::1%eth0" for a host name; a Join must reach it anyway.
func TestJoinKeepsZones(t *testing.T) {
	tr := newTransport(newHub().wire(addr(1)), addr(1), &book{contacts: newContacts()}, time.Now)
	for _, text := range []string{"[fe80::1%eth0.5]:4711", "10.0.0.1:1", "[fd00::1]:65535"} {
		name, rest, _ := strings.Cut(joinAddress(netip.MustParseAddrPort(text)), "/")
		got, err := tr.target(memberlist.Address{Addr: rest, Name: name})
		if err != nil || got.String() != text {
			t.Errorf("%s became %v, %v", text, got, err)
		}
	}
}

func TestSendsOnlyToReachable(t *testing.T) {
	tr := newTransport(newHub().wire(addr(1)), addr(1), &book{contacts: newContacts()}, time.Now)
	for text, ok := range map[string]bool{
		"10.0.0.1:1": true, "[::ffff:10.0.0.1]:1": true, "[fd00::1]:1": true, "[2001:db8::1]:1": true, "169.254.1.1:1": true,
		"127.0.0.1:1": false, "[::1]:1": false, "[::ffff:127.0.0.1]:1": false, "224.0.0.1:1": false, "0.0.0.0:1": false,
		"255.255.255.255:1": false, "[fe80::1]:1": false, "host:1": false, "?0a:1": false,
	} {
		if _, err := tr.WriteTo([]byte("x"), text); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestWarningsAreFew(t *testing.T) {
	var out bytes.Buffer
	now := time.Now()
	l := newLogger(slog.New(slog.NewTextHandler(&out, nil)), func() time.Time { return now })
	for range 1000 {
		l.Printf("[ERR] memberlist: Decrypt packet failed from=%s", "10.0.0.9")
		l.Printf("[DEBUG] memberlist: not for everybody")
	}
	now = now.Add(quietFor)
	l.Printf("[WARN] memberlist: again")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[1], "unsaid=999") || !strings.Contains(lines[0], "Decrypt") {
		t.Errorf("got %q", lines)
	}
}
