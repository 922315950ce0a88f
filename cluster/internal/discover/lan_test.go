package discover

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"

	"dtpx/internal/testbed/need"
	"dtpx/internal/testbed/netns"
)

// hostName is what nodes believe to be the name of their machine.
const hostName = "annas-laptop"

// process is a node in a machine.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

func start(t *testing.T, m *netns.Machine, group string, port int) *process {
	t.Helper()
	p := &process{cmd: m.Command(context.Background(), "unshare", "-u", "sh", "-c", "hostname "+hostName+" && exec "+os.Args[0]), lines: make(chan string, 10000)}
	p.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", nodeEnv, group, port))
	p.cmd.Stderr = t.Output()
	p.in, _ = p.cmd.StdinPipe()
	out, _ := p.cmd.StdoutPipe()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
		close(p.lines)
	}()
	t.Cleanup(func() { p.close(t) })
	return p
}

// close ends the node, which has to say that it left nothing behind.
func (p *process) close(t *testing.T) {
	if p.in == nil {
		return
	}
	p.in.Close()
	p.in = nil
	last := ""
	for line := range p.lines {
		if last = line; strings.HasPrefix(line, "leak") {
			t.Error(line, "goroutines")
		}
	}
	if err := p.cmd.Wait(); err != nil || last != "closed" {
		t.Errorf("node ended with %v after %q", err, last)
	}
}

// expect waits for a line that begins so, and returns it and how long it took.
func (p *process) expect(t *testing.T, begin string, limit time.Duration) (string, time.Duration) {
	t.Helper()
	since, deadline := time.Now(), time.After(limit)
	for {
		select {
		case line, ok := <-p.lines:
			if strings.HasPrefix(line, begin) {
				return line, time.Since(since)
			}
			if !ok {
				t.Fatalf("ended without %q", begin)
			}
		case <-deadline:
			t.Fatalf("no %q within %v", begin, limit)
		}
	}
}

func (p *process) say(what string) { fmt.Fprintln(p.in, what) }

// lan is machines on one switch.
func lan(t *testing.T, cidrs ...string) (machines []*netns.Machine, ports []netns.Port) {
	t.Helper()
	need.Root(t)
	lab := netns.ForTest(t)
	empty := make([]string, len(cidrs))
	for i := range cidrs {
		m, err := lab.Machine(fmt.Sprint("m", i))
		if err != nil {
			t.Fatal(err)
		}
		machines = append(machines, m)
	}
	ports, _, err := lab.Switch(empty, machines...)
	if err != nil {
		t.Fatal(err)
	}
	for i, list := range cidrs {
		run(t, machines[i], "sysctl", "-qw", "net.ipv6.conf."+ports[i].Dev+".accept_dad=0")
		for _, cidr := range strings.Fields(list) {
			if strings.Contains(cidr, ":") {
				run(t, machines[i], "ip", "addr", "add", cidr, "dev", ports[i].Dev, "nodad")
			} else {
				run(t, machines[i], "ip", "addr", "add", cidr, "dev", ports[i].Dev)
				if !strings.Contains(list, ":") {
					run(t, machines[i], "ip", "-6", "addr", "flush", "dev", ports[i].Dev)
				}
			}
		}
	}
	return machines, ports
}

func run(t *testing.T, m *netns.Machine, name string, args ...string) {
	t.Helper()
	if err := m.Run(name, args...); err != nil {
		t.Fatal(err)
	}
}

// Whoever comes second is found by the first as well, whose own queries have
// become rarer. No machine here has a default route.
func TestTwoFindEachOther(t *testing.T) {
	for name, c := range map[string]struct{ a, b, foundA, foundB string }{
		"v4 only":            {"10.9.0.1/24", "10.9.0.2/24", "found 10.9.0.1:4001", "found 10.9.0.2:4002"},
		"v6 only":            {"fd09::1/64", "fd09::2/64", "found [fd09::1]:4001", "found [fd09::2]:4002"},
		"both":               {"10.9.0.1/24 fd09::1/64", "10.9.0.2/24 fd09::2/64", "found [fd09::1]:4001", "found 10.9.0.2:4002"},
		"v6 link-local only": {"fe80::1:1/64", "fe80::1:2/64", "found [fe80::1:1%", "found [fe80::1:2%"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			machines, ports := lan(t, c.a, c.b)
			queries := capture(t, ports[1], strings.Contains(c.a, "."))
			a := start(t, machines[0], "club", 4001)
			start(t, machines[1], "others", 4003)
			for range 3 { // of both: at once, after 1 s
				receive(t, queries)
			}
			b := start(t, machines[1], "club", 4002)
			_, took := b.expect(t, c.foundA, 5*time.Second)
			_, after := a.expect(t, c.foundB, 5*time.Second)
			t.Logf("the second found the first after %v, the first the second %v later", took, after)
			a.close(t)
			for line := range a.lines {
				if strings.Contains(line, "4003") {
					t.Errorf("found somebody of another group: %s", line)
				}
			}
		})
	}
}

// capture listens to a port's multicast DNS.
func capture(t *testing.T, p netns.Port, v4 bool) (c *net.UDPConn) {
	t.Helper()
	err := p.M.Do(func() error {
		ifc, err := net.InterfaceByName(p.Dev)
		if err != nil {
			return err
		}
		f := families[1]
		if v4 {
			f = families[0]
		}
		c, err = net.ListenMulticastUDP(f.network, ifc, &net.UDPAddr{IP: f.group, Port: mdnsPort})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func receive(t *testing.T, c *net.UDPConn) (packet []byte, from *net.UDPAddr) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	packet = make([]byte, 65536)
	n, from, err := c.ReadFromUDP(packet)
	if err != nil {
		t.Fatal(err)
	}
	return packet[:n], from
}

// ask sends a question from a port until somebody answers.
func ask(t *testing.T, p netns.Port, name string, kind uint16) (packet []byte, answer *dns.Msg) {
	t.Helper()
	var c *net.UDPConn
	err := p.M.Do(func() error {
		ifc, err := net.InterfaceByName(p.Dev)
		if err == nil {
			c, err = open(link{ifc: *ifc}, families[0])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q := new(dns.Msg).SetQuestion(name, kind)
	b, _ := q.Pack()
	packet = make([]byte, packetMax)
	for range 20 {
		c.WriteToUDP(b, &net.UDPAddr{IP: families[0].group, Port: mdnsPort})
		c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		if n, _, err := c.ReadFromUDP(packet); err == nil {
			answer = new(dns.Msg)
			if err := answer.Unpack(packet[:n]); err != nil {
				t.Fatal(err)
			}
			return packet[:n], answer
		}
	}
	t.Fatalf("nobody answers for %s", name)
	return nil, nil
}

// said are the words of an answer.
func said(m *dns.Msg) map[string]bool {
	words := map[string]bool{}
	for _, rr := range append(m.Answer, m.Extra...) {
		words[rr.Header().Name] = true
		switch rr := rr.(type) {
		case *dns.PTR:
			words[rr.Ptr] = true
		case *dns.SRV:
			words[rr.Target] = true
		case *dns.TXT:
			for _, s := range rr.Txt {
				words[s] = true
			}
		}
	}
	return words
}

func TestNothingLinksTwoDays(t *testing.T) {
	t.Parallel()
	machines, ports := lan(t, "10.9.0.1/24", "10.9.0.2/24")
	queries := capture(t, ports[1], true)
	node := start(t, machines[0], "club", 4001)
	var sent [2][]byte
	var words [2]map[string]bool
	for day := range 2 {
		if day == 1 {
			node.say("day")
		}
		for {
			query, _ := receive(t, queries)
			packet, answer := ask(t, ports[1], service+"."+domain, dns.TypePTR)
			sent[day], words[day] = append(packet, query...), said(answer)
			if words[day]["tag="+testKeys("club").Tag(time.Now().Add(time.Duration(day)*24*time.Hour))] {
				break
			}
		}
	}
	public := map[string]bool{service + "." + domain: true, "v=1": true, "port=4001": true, "a=10.9.0.1": true}
	for word := range words[1] {
		if words[0][word] && !public[word] {
			t.Errorf("%q is said on both days", word)
		}
	}
	if len(words[0]) != 7 {
		t.Errorf("said %v", words[0])
	}
	for day := range 2 {
		if bytes.Contains(bytes.ToLower(sent[day]), []byte(hostName)) {
			t.Error("the host's name is sent")
		}
	}
}

// With four times the work for a packet (10 us) members do not find each other in time.
func TestFlood(t *testing.T) {
	t.Parallel()
	machines, ports := lan(t, "10.9.0.1/24", "10.9.0.2/24", "10.9.0.3/24")
	node, begin := start(t, machines[0], "club", 4001), time.Now()
	stop := flood(t, capture(t, ports[1], true), ports[1])
	friend := start(t, machines[2], "club", 4002)
	friend.expect(t, "found 10.9.0.1:4001", 5*time.Second)
	node.expect(t, "found 10.9.0.3:4002", 5*time.Second)
	sent, lied := stop()
	node.say("memory")
	line, _ := node.expect(t, "memory", 5*time.Second)
	var heap, goroutines int
	fmt.Sscanf(line, "memory %d %d", &heap, &goroutines)
	t.Logf("%d forged packets a second, %d queries of nodes answered with lies; heap %d bytes, %d goroutines", sent, lied, heap, goroutines)
	if lied < 2 {
		t.Error("the test is wrong: lies were told to nobody")
	}
	if heap > 8<<20 || goroutines > 30 {
		t.Error("not bounded")
	}
	node.close(t)
	cpu, packets := node.cmd.ProcessState.UserTime()+node.cmd.ProcessState.SystemTime(), time.Duration(sent)*time.Since(begin)/time.Second
	t.Logf("%v of CPU in %v, %v a packet", cpu, time.Since(begin), cpu/packets)
}

// flood answers whoever asks with lies, everybody too, and asks often, until stop, which
// gives packets a second and how many queries were answered.
func flood(t *testing.T, queries *net.UDPConn, from netns.Port) (stop func() (int, int)) {
	t.Helper()
	var c *net.UDPConn
	err := from.M.Do(func() (err error) {
		ifc, err := net.InterfaceByName(from.Dev)
		if err == nil {
			c, err = open(link{ifc: *ifc}, families[0])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ipv4.NewPacketConn(c).SetMulticastLoopback(false) // hear others only
	tag := testKeys("club").Tag(time.Now())
	var far []string
	for i := range 250 {
		far = append(far, fmt.Sprintf("a=8.8.8.%d", i))
	}
	lies := [][]string{
		{"v=1", "tag=" + tag, "port=1", "a=8.8.8.8", "a=127.0.0.1", "a=224.0.0.1"},
		{"v=1", "tag=wrong", "port=1", "a=10.9.0.9"},
		append([]string{"v=1", "tag=" + tag, "port=1"}, far...),
		{strings.Repeat("x", 255), strings.Repeat("y", 255)},
	}
	ctx, cancel := context.WithCancel(context.Background())
	sent, lied, begin := 0, 0, time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		packet := make([]byte, packetMax)
		everybody := &net.UDPAddr{IP: families[0].group, Port: mdnsPort}
		to, id := everybody, uint16(0)
		for i := 0; ctx.Err() == nil; i++ {
			if i%100 == 0 {
				queries.SetReadDeadline(time.Now().Add(time.Millisecond))
				if n, who, err := queries.ReadFromUDP(packet); err == nil && n > 12 {
					lied++
					to, id = who, uint16(packet[0])<<8|uint16(packet[1])
				}
			}
			packet := lie(id, i, lies[i%len(lies)])
			c.WriteToUDP(packet, to)
			c.WriteToUDP(packet, everybody)
			if sent += 2; i%100 == 0 {
				c.WriteToUDP(question(1), everybody)
			}
		}
	}()
	stop = func() (int, int) {
		cancel()
		<-done
		c.Close()
		return int(float64(sent) / time.Since(begin).Seconds()), lied
	}
	return stop
}

func lie(id uint16, i int, txt []string) []byte {
	if i%7 == 0 {
		return bytes.Repeat([]byte{byte(id >> 8), byte(id), 0x84, 0, 0, 0, 0xff, 0xff}, 100)
	}
	m := &dns.Msg{MsgHdr: dns.MsgHdr{Id: id, Response: true}}
	hdr := dns.RR_Header{Name: fmt.Sprintf("evil%d.%s.%s", i, service, domain), Rrtype: dns.TypeTXT, Class: dns.ClassINET}
	m.Answer = []dns.RR{&dns.TXT{Hdr: hdr, Txt: txt}}
	b, _ := m.Pack()
	return b
}

// avahi has the port first, and both go on answering.
func TestBesideAvahi(t *testing.T) {
	t.Parallel()
	machines, ports := lan(t, "10.9.0.1/24", "10.9.0.2/24")
	avahi := need.Program(t, "avahi-daemon", "/usr/sbin/avahi-daemon")
	conf := filepath.Join(t.TempDir(), "avahi.conf")
	os.WriteFile(conf, []byte("[server]\nhost-name=printer\nenable-dbus=no\n[publish]\npublish-workstation=no\n"), 0o644)
	daemon := machines[0].Command(t.Context(), "unshare", "-m", "sh", "-c",
		"mkdir -p /run/avahi-daemon && mount -t tmpfs none /run/avahi-daemon && exec "+avahi+" --no-drop-root --no-chroot --no-rlimits -f "+conf)
	daemon.Stdout, daemon.Stderr = t.Output(), t.Output()
	daemon.Cancel = func() error { return daemon.Process.Signal(os.Interrupt) }
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { daemon.Wait() })
	ask(t, ports[1], "printer.local.", dns.TypeA)
	a := start(t, machines[0], "club", 4001)
	b := start(t, machines[1], "club", 4002)
	b.expect(t, "found 10.9.0.1:4001", 5*time.Second)
	a.expect(t, "found 10.9.0.2:4002", 5*time.Second)
	ask(t, ports[1], "printer.local.", dns.TypeA)
}

// A cable that is plugged in later is used without being told.
func TestInterfaceComesAndGoes(t *testing.T) {
	t.Parallel()
	machines, ports := lan(t, "10.9.0.1/24", "10.9.0.2/24")
	ports[0].Down()
	a := start(t, machines[0], "club", 4001)
	b := start(t, machines[1], "club", 4002)
	a.say("memory")
	a.expect(t, "memory", 5*time.Second) // it runs without a network
	ports[0].Up()
	b.say("poke")
	a.say("poke")
	a.expect(t, "found 10.9.0.2:4002", 5*time.Second)
	b.expect(t, "found 10.9.0.1:4001", 10*time.Second)
}
