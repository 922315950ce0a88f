package proxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"dtpx/internal/testbed/need"
	"dtpx/proxy"
)

func TestGuardKnowsEverySpelling(t *testing.T) {
	g := new(proxy.Guard)
	g.Add(&net.TCPAddr{IP: net.IPv4zero, Port: 3128})
	for _, host := range []string{
		"127.0.0.1:80", "127.9.9.9:80", "127.1:80", "2130706433:80", "0x7f000001:80", "0x7f.1:80", "0177.0.0.1:80", "017700000001:80",
		"0:80", "0.0.0.0:80", "0.1.2.3:80", "[::1]:80", "[::]:80", "[::ffff:127.0.0.1]:80", "[::ffff:7f00:1]:80", "[::127.0.0.1]:80",
		"[64:ff9b::127.0.0.1]:80", "localhost:80", "LOCALHOST.:80", "a.localhost:80", "ip6-localhost:80",
		"169.254.169.254:80", "[fe80::1%25eth0]:80", "[fe80::1]:80", "[fd00:ec2::254]:80", "2852039166:80", "224.0.0.1:80", "255.255.255.255:80",
		"localhost", "127.0.0.1",
	} {
		if err := g.CheckHost(host); !errors.Is(err, proxy.ErrForbidden) {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{
		"192.0.2.1:80", "10.0.0.1:80", "[2001:db8::1]:443", "example.com:80", "127.0.0.1.example.com:80", "localhost.example.com:80",
		"1.2.3.4.5:80", "0x1ffffffff:80", "256.1.1.1:80", "[64:ff9b::8.8.8.8]:80",
	} {
		if err := g.CheckHost(host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestGuardRefusesItsOwnPorts(t *testing.T) {
	own := ownAddress(t)
	g := new(proxy.Guard)
	g.Add(&net.TCPAddr{IP: net.IPv4zero, Port: 3128})
	if err := g.Check(netip.AddrPortFrom(own, 3128)); !errors.Is(err, proxy.ErrForbidden) {
		t.Errorf("own port: %v", err)
	}
	if err := g.Check(netip.AddrPortFrom(own, 8080)); err != nil {
		t.Errorf("another port: %v", err)
	}
	if err := g.Check(netip.MustParseAddrPort("192.0.2.1:3128")); err != nil {
		t.Errorf("another machine: %v", err)
	}
}

// What counts is the address dialled: names may resolve to anything.
func TestGuardChecksTheAddressDialled(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer l.Close()
	g := new(proxy.Guard)
	d := net.Dialer{Control: g.Control}
	if c, err := d.DialContext(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, proxy.ErrForbidden) {
		t.Errorf("%v %v", c, err)
	}
	rebound := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, l.Addr().String())
	}
	if c, err := g.Dialer(rebound)(t.Context(), "tcp", "public.test:80"); !errors.Is(err, proxy.ErrForbidden) {
		t.Errorf("%v %v", c, err)
	}
}

// ownAddress is an address of this machine that is not loopback.
func ownAddress(t *testing.T) netip.Addr {
	t.Helper()
	if a := anAddress(); a.IsValid() {
		return a
	}
	// A container without a network: lo may have any.
	need.Root(t)
	const own = "198.51.100.77/32"
	if out, err := exec.Command(need.Program(t, "ip"), "addr", "add", own, "dev", "lo").CombinedOutput(); err != nil {
		need.Skip(t, "this machine has no address but loopback: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "addr", "del", own, "dev", "lo").Run() })
	return anAddress()
}

// anAddress is invalid where there is none.
func anAddress() netip.Addr {
	addrs, err := net.InterfaceAddrs()
	must(err)
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// neighbour opens connections to the proxy as another machine would: from and
// to an address that is not loopback.
func neighbour(t *testing.T, options ...func(*proxy.Server)) *rig {
	own := ownAddress(t)
	r := newRig(t, append(options, func(s *proxy.Server) { s.Allow = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} })...)
	l, err := net.Listen("tcp", netip.AddrPortFrom(own, 0).String())
	must(err)
	go r.server.Serve(l)
	r.addr = l.Addr().String()
	return r
}

func TestNeighboursDoNotReachThisMachine(t *testing.T) {
	r := neighbour(t)
	r.origin(func(http.ResponseWriter, *http.Request) { t.Error("reached") })
	r.name("127.0.0.1:80", r.names["origin.test:80"])
	for _, request := range []string{
		"GET http://127.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://2130706433/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://" + r.addr + "/api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://dtpx.internal/api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n",
		"CONNECT " + r.addr + " HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		w := r.connect()
		w.send(request)
		if got := w.response("GET").StatusCode; got != 403 && got != 401 {
			t.Errorf("%.40q: %d", request, got)
		}
	}
}

func TestAllow(t *testing.T) {
	own := ownAddress(t)
	s2 := newRig(t, func(s *proxy.Server) { s.Allow = nil })
	l, err := net.Listen("tcp", netip.AddrPortFrom(own, 0).String())
	must(err)
	go s2.server.Serve(l)
	for addr, want := range map[string]int{l.Addr().String(): 403, s2.addr: 200} {
		s2.addr = addr
		w := s2.connect()
		w.send("GET /healthz HTTP/1.1\r\nHost: " + addr + "\r\n\r\n")
		resp := w.response("GET")
		if b, _ := io.ReadAll(resp.Body); resp.StatusCode != want || want == 200 && strings.TrimSpace(string(b)) != "ok" {
			t.Errorf("%s: %s %q", addr, resp.Status, b)
		}
	}
}
