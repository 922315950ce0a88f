// Package netns makes small networks out of Linux network namespaces: machines,
// cables between them, switches, and shaped links. It needs root and iproute2.
//
// A [Lab] owns everything it makes, under names with its process id, and Close
// removes all of it; the host's own network is never touched, so nothing in a lab
// can reach the internet. Sockets are made inside a [Machine] from the calling
// process ([Machine.Listen], [Machine.Dial]) or by commands ([Machine.Command]).
//
// Not guaranteed: a process killed with SIGKILL leaves its namespaces behind;
// "ip netns list" shows them as tb<pid>-….
package netns

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"dtpx/internal/testbed/need"
)

// ForTest makes a lab that the test's end closes, or skips the test.
func ForTest(t testing.TB) *Lab {
	t.Helper()
	need.Root(t)
	need.Program(t, "ip")
	need.Program(t, "tc")
	lab, err := New()
	if err != nil {
		need.Skip(t, "network namespaces do not work here: %v", err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab
}

// Cable is a veth pair between two machines.
type Cable struct{ A, B Port }

// Port is a network device of a machine.
type Port struct {
	M    *Machine
	Dev  string
	CIDR string
}

// Addr is the port's address without the prefix length.
func (p Port) Addr() string {
	a, _, _ := strings.Cut(p.CIDR, "/")
	return a
}

// Shape limits what leaves through the port, in bits per second: tc's token bucket
// with bursts of 64 KiB and a queue of 50 ms. It may be called again. 0 = no limit.
func (p Port) Shape(bits int64) error {
	if bits == 0 {
		return p.M.Run("tc", "qdisc", "del", "dev", p.Dev, "root")
	}
	return p.M.Run("tc", "qdisc", "replace", "dev", p.Dev, "root", "tbf",
		"rate", fmt.Sprintf("%dbit", bits), "burst", "64kb", "latency", "50ms")
}

// Up and Down switch the port on and off.
func (p Port) Up() error   { return p.M.Run("ip", "link", "set", p.Dev, "up") }
func (p Port) Down() error { return p.M.Run("ip", "link", "set", p.Dev, "down") }

// Run runs a command in the machine; its output is in the error.
func (m *Machine) Run(name string, args ...string) error {
	return output(m.Command(context.Background(), name, args...))
}

// Command prepares a command in the machine. Interrupting "ip netns exec" ends the
// program itself, since ip becomes it.
func (m *Machine) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", m.name, name}, args...)...)
}

// Listen is net.Listen in the machine. It has the signature of testbed's ListenFunc.
// What it accepts sends as servers with Linux' defaults do, whatever this machine has:
// what an origin does after a pause or a loss decides how far links fare.
func (m *Machine) Listen(network, addr string) (ln net.Listener, err error) {
	err = m.Do(func() error {
		ln, err = (&net.ListenConfig{Control: sendAsUsual}).Listen(context.Background(), network, addr)
		return err
	})
	return ln, err
}

// Dial is net.Dial in the machine, to an IP address. It has the signature of
// http.Transport.DialContext.
func (m *Machine) Dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	err = m.Do(func() error {
		d := net.Dialer{FallbackDelay: -1} // one goroutine: another would be in another namespace
		c, err = d.DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

func output(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
