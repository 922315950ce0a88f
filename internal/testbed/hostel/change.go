package hostel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Readdress gives the room another address on the LAN, as DHCP may at any time.
func (r *Room) Readdress(cidr string) error {
	if err := r.M.Run("ip", "addr", "del", r.LAN.CIDR, "dev", r.LAN.Dev); err != nil {
		return err
	}
	r.LAN.CIDR = cidr
	if err := r.M.Run("ip", "addr", "add", cidr, "dev", r.LAN.Dev); err != nil {
		return err
	}
	return r.multicast() // went with the last address
}

// multicast leaves by the LAN, as the kernel of a real machine has it for bound
// sockets; the default route points elsewhere.
func (r *Room) multicast() error {
	return r.M.Run("ip", "route", "replace", "224.0.0.0/4", "dev", r.LAN.Dev)
}

// Bridges gives the room networks of its own for containers or virtual machines, with
// addresses that many machines have: 10.1.0.1/24 and so on, before all others in any order.
func (r *Room) Bridges(n int) error {
	var errs []error
	for i := range n {
		name := fmt.Sprintf("br-%d", i)
		errs = append(errs, r.M.Run("ip", "link", "add", name, "type", "bridge"),
			r.M.Run("ip", "addr", "add", fmt.Sprintf("10.1.%d.1/24", i), "dev", name), r.M.Run("ip", "link", "set", name, "up"))
	}
	return errors.Join(errs...)
}

// Rename changes the host name under the running dtpx, and for later runs.
func (r *Room) Rename(name string) error {
	r.Name = name
	return r.M.Run("nsenter", "--uts", "--target", strconv.Itoa(r.PID()), "hostname", name)
}

// Part puts rooms on a switch of their own, as if the cable between two
// switches were out; heal plugs it in again.
func (h *House) Part(rooms ...*Room) (heal func() error, err error) {
	far := h.Lab.Device("br")
	for _, args := range [][]string{{"link", "add", far, "type", "bridge"}, {"link", "set", far, "up"}} {
		if err := rooms[0].Switch.M.Run("ip", args...); err != nil {
			return nil, err
		}
	}
	near, err := rooms[0].master()
	if err != nil {
		return nil, err
	}
	plug := func(into string) error {
		var errs []error
		for _, r := range rooms {
			errs = append(errs, r.Switch.M.Run("ip", "link", "set", r.Switch.Dev, "master", into))
		}
		return errors.Join(errs...)
	}
	return func() error { return plug(near) }, plug(far)
}

// master is the bridge that the room's port is in.
func (r *Room) master() (string, error) {
	out, err := r.Switch.M.Command(context.Background(), "readlink", "/sys/class/net/"+r.Switch.Dev+"/master").Output()
	return filepath.Base(strings.TrimSpace(string(out))), err
}

// hosts lets the room know names, by the file that "ip netns exec" shows to
// programs as /etc/hosts. A killed test leaves it behind, as it does the
// namespace of the same name.
func (r *Room) hosts(names map[string][]string) error {
	dir := filepath.Join("/etc/netns", r.M.Name())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	lines := []string{"127.0.0.1 localhost"}
	for name, addrs := range names {
		for _, a := range addrs {
			lines = append(lines, a+" "+name)
		}
	}
	return os.WriteFile(filepath.Join(dir, "hosts"), []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

func (r *Room) forgetHosts() {
	os.RemoveAll(filepath.Join("/etc/netns", r.M.Name()))
	_ = os.Remove("/etc/netns") // if that was the last one
}

// Sockets lists what the room's machine has open, as "tcp 10.9.0.1:3129 -"
// or "tcp 44.1.1.2:5000 45.1.0.1:443"; the latter are established ones.
func (r *Room) Sockets() (all []string, err error) {
	for _, proto := range []string{"tcp", "udp", "tcp6", "udp6"} {
		out, err := r.M.Command(context.Background(), "cat", "/proc/net/"+proto).Output()
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(out)) {
			if s := socket(proto, strings.Fields(line)); s != "" {
				all = append(all, s)
			}
		}
	}
	return all, nil
}

// socket reads one line of /proc/net/tcp or udp (proc_net_tcp(5)).
func socket(proto string, f []string) string {
	const established, closed, listens = "01", "07", "0A"
	if len(f) < 4 || !slices.Contains([]string{established, closed, listens}, f[3]) {
		return ""
	}
	local, far := endpoint(f[1]), "-"
	if f[3] == established {
		far = endpoint(f[2])
	}
	return proto + " " + local + " " + far
}

func endpoint(hex string) string {
	addr, number, _ := strings.Cut(hex, ":")
	port, _ := strconv.ParseUint(number, 16, 16)
	a, _ := strconv.ParseUint(addr, 16, 32) // little-endian as on all machines this runs on
	if len(addr) > 8 {
		return fmt.Sprintf("[%s]:%d", addr, port)
	}
	return fmt.Sprintf("%d.%d.%d.%d:%d", byte(a), byte(a>>8), byte(a>>16), byte(a>>24), port)
}

// Behind puts the room behind a router that translates addresses, as WSL2 and
// virtual machines have it: the router takes over the room's address on the LAN, and
// passes what comes to its port on to the room's. It needs nft, and comes before
// Serve.
func (h *House) Behind(r *Room, port, inner int) error {
	gate, err := h.Lab.Machine("gate" + strings.TrimPrefix(r.LAN.Dev, "eth"))
	if err != nil {
		return err
	}
	outside := r.LAN
	outside.M = gate
	if err := r.M.Run("ip", "link", "set", outside.Dev, "netns", gate.Name()); err != nil {
		return err
	}
	cable, err := h.Lab.Connect(gate, "192.168.77.1/24", r.M, "192.168.77.2/24")
	if err != nil {
		return err
	}
	r.LAN = cable.B
	rules := fmt.Sprintf(`table ip nat {
		chain in { type nat hook prerouting priority dstnat
			iifname %[1]q meta l4proto { tcp, udp } th dport %[2]d dnat to %[3]s:%[4]d
		}
		chain out { type nat hook postrouting priority srcnat
			oifname %[1]q masquerade
		}
	}`, outside.Dev, port, r.LAN.Addr(), inner)
	return errors.Join(outside.Configure(), gate.Forward(), gate.Run("nft", rules),
		r.M.Route("10.9.0.0/24", cable.A.Addr()), r.multicast())
}

// Apart moves a room to a LAN of its own, 10.8.0.0/24. Another room is on both, and
// if routed passes on what goes from one to the other; multicast stays on its side.
func (h *House) Apart(r, both *Room, routed bool) error {
	ports, sw, err := h.Lab.Switch([]string{"10.8.0.1/24", "10.8.0.2/24"}, r.M, both.M)
	if err != nil {
		return err
	}
	err = r.LAN.Down()
	r.LAN, r.Switch = ports[0], sw[0]
	if err = errors.Join(err, r.multicast()); !routed {
		return err
	}
	err = errors.Join(err, r.M.Route("10.9.0.0/24", ports[1].Addr()), both.M.Forward())
	for _, other := range h.Rooms {
		if other != r && other != both {
			err = errors.Join(err, other.M.Route("10.8.0.0/24", both.LAN.Addr()))
		}
	}
	return err
}
