package port_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dtpx/cluster/internal/group"
	"dtpx/cluster/internal/port"
	"dtpx/internal/testbed/netns"
)

// nodeEnv makes the test binary a node of the group with that code: in a namespace of
// its own, which a goroutine of the test could not be.
const nodeEnv = "DTPX_PORT_NODE"

// oldEnv makes it a node on an older kernel.
const oldEnv = "DTPX_PORT_OLD"

func TestMain(m *testing.M) {
	if code := os.Getenv(nodeEnv); code != "" {
		if err := beNode(code); err != nil {
			fmt.Println("error", err)
		}
		return
	}
	os.Exit(m.Run())
}

// beNode opens port 3129, prints the packets that come, and sends "<to> <text>" of its
// input, or opens a stream for "<to>"; the input's end is the end.
func beNode(code string) error {
	if os.Getenv(oldEnv) != "" {
		if err := oldKernel(); err != nil {
			return err
		}
	}
	g, err := group.ParseCode(code)
	if err != nil {
		return err
	}
	keys, err := g.Keys()
	if err != nil {
		return err
	}
	m, err := group.NewMember(keys, group.NewNodeKey(), time.Now, nil)
	if err != nil {
		return err
	}
	p, err := port.Open(port.Options{Number: 3129, Member: m, Handle: func(_ context.Context, c *port.Conn) { _, _ = io.Copy(io.Discard, c) }})
	if err != nil {
		return err
	}
	go func() {
		for x := range p.Packets() {
			fmt.Println("packet", string(x.Data), x.From)
		}
	}()
	fmt.Println("open")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		to, text, packet := strings.Cut(in.Text(), " ")
		if !packet {
			c, err := p.Dial(context.Background(), netip.MustParseAddrPort(to), nil, group.Relay)
			if err != nil {
				return err
			}
			fmt.Println("stream from", c.LocalAddr())
			go func() { _, err := io.Copy(io.Discard, c); fmt.Println("ended", err) }()
			continue
		}
		if err := p.WriteTo([]byte(text), netip.MustParseAddrPort(to)); err != nil {
			fmt.Println("error", err)
		}
	}
	p.Close()
	return nil
}

// oldKernel refuses SO_BINDTODEVICE to this process, as kernels before 5.7 do to all
// without CAP_NET_RAW.
func oldKernel() error {
	const number, level, option = 0, 24, 32 // in struct seccomp_data, little-endian
	const load, equal, answer = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	filter := []unix.SockFilter{
		{Code: load, K: number}, {Code: equal, K: unix.SYS_SETSOCKOPT, Jf: 5},
		{Code: load, K: level}, {Code: equal, K: unix.SOL_SOCKET, Jf: 3},
		{Code: load, K: option}, {Code: equal, K: unix.SO_BINDTODEVICE, Jf: 1},
		{Code: answer, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: answer, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, no := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if no != 0 {
		return no
	}
	return nil
}

// node is a process with a port.
type node struct {
	t  *testing.T
	in *os.File

	mu   sync.Mutex // guards said
	said []string
}

func startNode(t *testing.T, m *netns.Machine, g group.Group, env ...string) *node {
	t.Helper()
	code, err := g.Code()
	must(t, err)
	cmd := m.Command(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), nodeEnv+"="+code), env...)
	r, w, err := os.Pipe()
	must(t, err)
	cmd.Stdin, cmd.Stderr = r, os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	r.Close()
	n := &node{t: t, in: w}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n.mu.Lock()
			n.said = append(n.said, lines.Text())
			n.mu.Unlock()
		}
	}()
	t.Cleanup(func() { w.Close(); <-done; _ = cmd.Wait() })
	eventually(t, "the port is open", func() bool { return n.has("open") })
	return n
}

// has reports that the node has said a line that begins so.
func (n *node) has(what string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, line := range n.said {
		if strings.HasPrefix(line, what) {
			return true
		}
	}
	return false
}

func (n *node) send(to, text string) {
	n.t.Helper()
	_, err := fmt.Fprintln(n.in, to, text)
	must(n.t, err)
}

func (n *node) dial(to string) {
	n.t.Helper()
	_, err := fmt.Fprintln(n.in, to)
	must(n.t, err)
	eventually(n.t, "a stream to "+to, func() bool { return n.has("stream") })
}

// answers reports that something listens at an address, seen from a machine.
func answers(t *testing.T, m *netns.Machine, addr string) bool {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	c, err := m.Dial(ctx, "tcp", addr+":3129")
	if err == nil {
		c.Close()
	}
	return err == nil
}

// street is two machines on a switch, 10.3.0.1 and 10.3.0.2.
type street struct {
	lab      *netns.Lab
	sw       *netns.Machine
	one, two netns.Port
	bridge   string
}

func newStreet(t *testing.T) *street {
	t.Helper()
	s := &street{lab: netns.ForTest(t)}
	one, err := s.lab.Machine("one")
	must(t, err)
	two, err := s.lab.Machine("two")
	must(t, err)
	ports, sw, err := s.lab.Switch([]string{"10.3.0.1/24", "10.3.0.2/24"}, one, two)
	must(t, err)
	s.one, s.two, s.sw = ports[0], ports[1], sw[0].M
	out, err := s.sw.Command(t.Context(), "ip", "-br", "link", "show", "type", "bridge").Output()
	must(t, err)
	s.bridge = strings.Fields(string(out))[0]
	return s
}

// plug joins a machine to the switch once more.
func (s *street) plug(t *testing.T, m *netns.Machine, cidr string) netns.Port {
	t.Helper()
	c, err := s.lab.Connect(m, cidr, s.sw, "")
	must(t, err)
	must(t, s.sw.Run("ip", "link", "set", c.B.Dev, "master", s.bridge))
	return c.A
}

func mac(t *testing.T, p netns.Port) string {
	t.Helper()
	out, err := p.M.Command(t.Context(), "cat", "/sys/class/net/"+p.Dev+"/address").Output()
	must(t, err)
	return strings.TrimSpace(string(out))
}

// A USB adapter that is plugged in again has its name and address, and is another one.
func TestInterfaceBack(t *testing.T) {
	s := newStreet(t)
	one := s.one
	startNode(t, one.M, newGroup(t))
	if !answers(t, s.two.M, one.Addr()) {
		t.Fatal("does not answer")
	}
	hardware := mac(t, one)
	must(t, one.M.Run("ip", "link", "del", one.Dev))
	again := s.plug(t, one.M, "")
	for _, args := range []string{"set dev " + again.Dev + " down", "set dev " + again.Dev + " address " + hardware + " name " + one.Dev} {
		must(t, one.M.Run("ip", append([]string{"link"}, strings.Fields(args)...)...))
	}
	must(t, one.Configure())
	eventually(t, "answers by the new interface", func() bool { return answers(t, s.two.M, one.Addr()) })
}

// A laptop that leaves its dock, or gets another address: nothing comes any more by the
// streams of the old one, and nobody says so.
func TestAddressGone(t *testing.T) {
	s := newStreet(t)
	wifi := s.plug(t, s.one.M, "10.3.0.101/24")
	g := newGroup(t)
	one := startNode(t, s.one.M, g)
	startNode(t, s.two.M, g)
	one.dial(s.two.Addr() + ":3129")
	if !one.has("stream from " + s.one.Addr()) {
		t.Fatal("does not go by the cable")
	}
	must(t, wifi.M.Run("ip", "addr", "add", "10.3.0.102/24", "dev", wifi.Dev))
	eventually(t, "the new address answers", func() bool { return answers(t, s.two.M, "10.3.0.102") })
	if one.has("ended") {
		t.Error("the stream has ended for an address that came")
	}
	must(t, s.one.Down())
	must(t, s.one.M.Run("ip", "addr", "flush", "dev", s.one.Dev))
	eventually(t, "the stream ends", func() bool { return one.has("ended") })
}

// Where sockets may not be bound to interfaces, their addresses have to do.
func TestOldKernel(t *testing.T) {
	s := newStreet(t)
	wifi := s.plug(t, s.one.M, "10.3.0.101/24")
	g := newGroup(t)
	one, two := startNode(t, s.one.M, g, oldEnv+"=1"), startNode(t, s.two.M, g)
	for _, addr := range []string{s.one.Addr(), wifi.Addr()} {
		eventually(t, addr+" answers", func() bool { return answers(t, s.two.M, addr) })
		two.send(addr+":3129", "to "+addr)
		eventually(t, "a packet to "+addr, func() bool { return one.has("packet to " + addr) })
	}
}

// With cable and Wi-Fi in one subnet each answers questions for the address of the
// other (ARP flux), so packets for one address come by the other interface.
func TestTwoInterfacesOfOneSubnet(t *testing.T) {
	s := newStreet(t)
	wifi := s.plug(t, s.one.M, "10.3.0.101/24")
	for _, crossed := range [][2]string{{s.one.Addr(), mac(t, wifi)}, {wifi.Addr(), mac(t, s.one)}} {
		must(t, s.two.M.Run("ip", "neigh", "replace", crossed[0], "lladdr", crossed[1], "dev", s.two.Dev))
	}
	g := newGroup(t)
	one, two := startNode(t, s.one.M, g), startNode(t, s.two.M, g)
	for _, addr := range []string{s.one.Addr(), wifi.Addr()} {
		if !answers(t, s.two.M, addr) {
			t.Errorf("%s does not answer", addr)
		}
		two.send(addr+":3129", "to "+addr)
		eventually(t, "a packet to "+addr, func() bool { return one.has("packet to " + addr) })
	}
	one.send(s.two.Addr()+":3129", "back")
	eventually(t, "a packet by the route", func() bool { return two.has("packet back " + s.one.Addr()) })
}

// What goes beyond the LANs takes the route there, not a network of containers.
func TestFarPackets(t *testing.T) {
	s := newStreet(t)
	one := s.one.M
	for i := range 8 {
		name := fmt.Sprintf("docker%d", i)
		must(t, one.Run("ip", "link", "add", name, "type", "bridge"))
		must(t, one.Run("ip", "addr", "add", fmt.Sprintf("172.20.%d.1/24", i), "dev", name))
		must(t, one.Run("ip", "link", "set", name, "up"))
	}
	must(t, s.two.M.Run("ip", "addr", "add", "10.4.0.1/24", "dev", s.two.Dev))
	must(t, one.Route("10.4.0.0/24", s.two.Addr()))
	g := newGroup(t)
	from, to := startNode(t, one, g), startNode(t, s.two.M, g)
	for i := range 10 {
		text := fmt.Sprintf("number %d.", i)
		from.send("10.4.0.1:3129", text)
		eventually(t, text, func() bool { return to.has("packet " + text + " " + s.one.Addr()) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls what has no way to tell us.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); !done(); <-tick.C {
		if time.Since(began) > patience {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
