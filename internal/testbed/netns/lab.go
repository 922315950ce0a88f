package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
)

// Lab is a set of machines and what joins them. Not for concurrent use.
type Lab struct {
	prefix   string
	machines []*Machine
	devices  int
}

// Machine is a network namespace with loopback up.
type Machine struct {
	lab  *Lab
	name string
}

var labs atomic.Int32

// New makes an empty lab, having tried that namespaces work.
func New() (*Lab, error) {
	lab := &Lab{prefix: fmt.Sprintf("tb%d-%d-", os.Getpid(), labs.Add(1))}
	if _, err := lab.Machine("probe"); err != nil {
		lab.Close()
		return nil, err
	}
	return lab, nil
}

// Machine makes a namespace; the name needs to be unique in the lab only.
func (l *Lab) Machine(name string) (*Machine, error) {
	m := &Machine{lab: l, name: l.prefix + name}
	if err := output(exec.Command("ip", "netns", "add", m.name)); err != nil {
		return nil, err
	}
	l.machines = append(l.machines, m)
	return m, m.Run("ip", "link", "set", "lo", "up")
}

// Name is the namespace's name as ip netns knows it.
func (m *Machine) Name() string { return m.name }

// Close removes all machines; their devices go with them.
func (l *Lab) Close() error {
	var errs []error
	for _, m := range l.machines {
		errs = append(errs, output(exec.Command("ip", "netns", "del", m.name)))
	}
	l.machines = nil
	return errors.Join(errs...)
}

// Device is a new device name, unique in the lab and within 15 characters.
func (l *Lab) Device(kind string) string {
	l.devices++
	return fmt.Sprintf("%s%d", kind, l.devices)
}

// Connect joins two machines with a cable; the addresses have prefix lengths:
// Connect(a, "10.1.0.1/24", b, "10.1.0.2/24").
func (l *Lab) Connect(a *Machine, cidrA string, b *Machine, cidrB string) (Cable, error) {
	c := Cable{A: Port{a, l.Device("eth"), cidrA}, B: Port{b, l.Device("eth"), cidrB}}
	if err := a.Run("ip", "link", "add", c.A.Dev, "type", "veth", "peer", "name", c.B.Dev, "netns", b.name); err != nil {
		return c, err
	}
	return c, errors.Join(c.A.Configure(), c.B.Configure())
}

// Configure gives the port its address and brings it up.
func (p Port) Configure() error {
	if p.CIDR != "" {
		if err := p.M.Run("ip", "addr", "add", p.CIDR, "dev", p.Dev); err != nil {
			return err
		}
	}
	return p.Up()
}

// Switch joins machines on one network, each with a port of its own. ports[i]
// belongs to machines[i]; sw[i] is the switch's side of it, for shaping what goes
// to that machine.
func (l *Lab) Switch(cidrs []string, machines ...*Machine) (ports, sw []Port, err error) {
	if len(cidrs) != len(machines) {
		return nil, nil, fmt.Errorf("%d addresses for %d machines", len(cidrs), len(machines))
	}
	br := l.Device("br")
	m, err := l.Machine(br)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(m.Run("ip", "link", "add", br, "type", "bridge"), m.Run("ip", "link", "set", br, "up")); err != nil {
		return nil, nil, err
	}
	for i, each := range machines {
		c, err := l.Connect(each, cidrs[i], m, "")
		if err != nil {
			return nil, nil, err
		}
		if err := m.Run("ip", "link", "set", c.B.Dev, "master", br); err != nil {
			return nil, nil, err
		}
		ports, sw = append(ports, c.A), append(sw, c.B)
	}
	return ports, sw, nil
}

// Route sends a machine's traffic to a destination ("default", "10.2.0.0/16") by a
// gateway; the gateway needs Forward.
func (m *Machine) Route(dst, via string) error {
	if net.ParseIP(via) == nil {
		return fmt.Errorf("gateway %q is no address", via)
	}
	return m.Run("ip", "route", "replace", dst, "via", via)
}

// Forward makes the machine a router.
func (m *Machine) Forward() error {
	return m.Run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
}

// Carried is how many bytes left through the port, link headers included.
func (p Port) Carried() (n int64, err error) {
	out, err := p.M.Command(context.Background(), "cat", "/sys/class/net/"+p.Dev+"/statistics/tx_bytes").Output()
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(string(out), &n)
	return n, err
}
