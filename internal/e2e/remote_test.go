package e2e

import (
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/netns"
)

func TestUsers(t *testing.T) {
	t.Parallel()
	o := origin(t, testbed.Config{})
	b := newBox(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	must(t, err)
	n := b.serve("-config", b.config(o, "users: {ann: '"+string(hash)+"'}"))
	url := o.HTTP + "/1KiB/x"
	n.wants("407", []string{"user name and a password"}, url)
	n.wants("407", nil, "-U", "ann:wrong", url)
	n.wants("407", nil, "-U", "bob:secret", url)
	n.wants("200", nil, "-o", "/dev/null", "-U", "ann:secret", url)
	n.wants("200", nil, "-o", "/dev/null", "-U", "ann:secret", o.HTTPS+"/1KiB/x")
	if r := n.shell(`curl -sS "$1"`, o.HTTPS+"/1KiB/x"); r.code != 56 || !strings.Contains(r.err, "407") {
		t.Errorf("CONNECT without a password: exit status %d: %s", r.code, r.err)
	}
	b.dtpx("get", "-o", "got", o.HTTP+"/1KiB/x-own").ok(t) // the owner's own, not cached
	b.dtpx("get", "-o", "got", o.HTTPS+"/1KiB/x-own").ok(t)
	if n := len(o.Log().For("/x")); n != 4 {
		t.Errorf("the origin got %d requests", n)
	}
	for _, e := range o.Log().Entries() {
		if e.Header.Get("Proxy-Authorization") != "" {
			t.Error("the password went to the origin")
		}
	}
}

// neighbours are two machines on one cable: the first runs dtpx, and a service on
// its loopback.
func neighbours(t *testing.T, allow string) (n *node, neighbour *box, service *testbed.Origin) {
	t.Helper()
	lab := netns.ForTest(t)
	here, err := lab.Machine("here")
	must(t, err)
	there, err := lab.Machine("there")
	must(t, err)
	_, err = lab.Connect(here, "10.77.0.1/24", there, "10.77.0.2/24")
	must(t, err)
	service = origin(t, testbed.Config{ListenFunc: here.Listen})
	b := newBox(t)
	b.wrap = []string{"ip", "netns", "exec", here.Name()}
	n = b.start("serve", "-listen", "10.77.0.1:3128", "-config", b.config(service, "allow: ["+allow+"]"))
	n.greeting()
	neighbour = newBox(t)
	neighbour.wrap = []string{"ip", "netns", "exec", there.Name()}
	return n, neighbour, service
}

// get returns the status and text that a neighbour's curl gets.
func (b *box) get(args ...string) string {
	b.t.Helper()
	return b.run("curl", append([]string{"-sS", "-m", "20", "-w", " %{http_code}"}, args...)...).out
}

func TestNeighbourMayNotReachThisMachine(t *testing.T) {
	t.Parallel()
	n, neighbour, service := neighbours(t, "10.77.0.0/24, 127.0.0.0/8")
	proxy := "http://10.77.0.1:3128"
	port := service.HTTP[strings.LastIndexByte(service.HTTP, ':'):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "127.1", "2130706433", "0.0.0.0", "[::ffff:127.0.0.1]"} {
		if got := neighbour.get("-x", proxy, "http://"+host+port+"/1KiB/text=1/x"); !strings.HasSuffix(got, " 403") {
			t.Errorf("%s: %q", host, got)
		}
		r := neighbour.run("curl", "-sS", "-m", "20", "-p", "-x", proxy, "http://"+host+port+"/1KiB/text=1/x")
		if r.code == 0 || !strings.Contains(r.err, "403") {
			t.Errorf("a tunnel to %s: exit status %d: %s", host, r.code, r.err)
		}
	}
	if es := service.Log().Entries(); len(es) != 0 {
		t.Errorf("the service on loopback was asked: %+v", es)
	}
	token := "Authorization: Bearer " + strings.TrimSpace(n.read("token"))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{proxy + "/healthz"}, "ok\n 200"},
		{[]string{"-o", "/dev/null", proxy + "/ca.pem"}, " 200"},
		{[]string{"-o", "/dev/null", proxy + "/"}, " 200"},
		{[]string{"-o", "/dev/null", proxy + "/api/v1/status"}, " 401"},
		{[]string{"-o", "/dev/null", proxy + "/metrics"}, " 401"},
		{[]string{"-o", "/dev/null", "-x", proxy, "http://dtpx.internal/api/v1/status"}, " 401"},
		{[]string{"-o", "/dev/null", "-x", proxy, proxy + "/api/v1/status"}, " 401"},
		{[]string{"-o", "/dev/null", "-x", proxy, "http://127.0.0.1:3128/api/v1/status"}, " 401"},
		{[]string{"-o", "/dev/null", "-H", "Authorization: Bearer wrong", proxy + "/api/v1/status"}, " 401"},
		{[]string{"-o", "/dev/null", "-H", token, proxy + "/api/v1/status"}, " 200"},
	} {
		if got := neighbour.get(c.args...); got != c.want {
			t.Errorf("%s: got %q, want %q", c.args, got, c.want)
		}
	}
	if pac := neighbour.get(proxy + "/proxy.pac"); !strings.Contains(pac, "PROXY 10.77.0.1:3128; DIRECT") {
		t.Errorf("proxy.pac for a neighbour: %s", pac)
	}
}

func TestAllowIsEnforced(t *testing.T) {
	t.Parallel()
	_, neighbour, service := neighbours(t, "127.0.0.0/8, 10.77.0.1/32")
	for _, args := range [][]string{
		{"-x", "http://10.77.0.1:3128", service.HTTP + "/1KiB/x"}, {"http://10.77.0.1:3128/"}, {"http://10.77.0.1:3128/healthz"},
	} {
		if got := neighbour.get(args...); !strings.HasSuffix(got, " 403") || !strings.Contains(got, "allow") {
			t.Errorf("%s: %q", args, got)
		}
	}
}
