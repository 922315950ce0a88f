package proxy_test

import (
	"os/exec"
	"strings"
	"testing"

	"dtpx/internal/testbed/need"
)

// The functions that browsers give PAC files, as far as ours uses them.
const pacWorld = `
const isPlainHostName = h => !h.includes('.') && !h.includes(':');
const dnsDomainIs = (h, d) => h.endsWith(d);
`

func TestPACSendsTheNetThroughUsAndTheRestDirect(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		need.Skip(t, "node is not installed: sh internal/all.sh installs it")
	}
	r := newRig(t)
	pac := body(t, r.ask("GET", "/proxy.pac", r.addr), nil)
	through := "PROXY " + r.addr + "; DIRECT"
	for host, want := range map[string]string{
		"example.com": through, "192.0.2.1": through, "dtpx.internal": "PROXY " + r.addr,
		"localhost": "DIRECT", "127.0.0.1": "DIRECT", "::1": "DIRECT", "[::1]": "DIRECT", "a.localhost": "DIRECT", "printer": "DIRECT", "nas.local": "DIRECT",
	} {
		out, err := exec.Command(node, "-e", pacWorld+pac+"console.log(FindProxyForURL('http://'+process.argv[1]+'/', process.argv[1]))", host).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", host, got, err, want)
		}
	}
}
