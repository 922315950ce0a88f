package discover

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Who asks on one link hears nothing of the others: by default Linux hands what comes in
// on one to all who listen on any.
func TestAnswersOfOneLink(t *testing.T) {
	for name, c := range map[string]struct {
		here, there, other string
		f                  family
	}{
		"v4": {"10.9.0.1/24", "10.9.0.2/24", "10.8.0.1/24", families[0]},
		"v6": {"fd09::1/64", "fd09::2/64", "fd08::1/64", families[1]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			machines, ports := lan(t, c.here, c.there)
			run(t, machines[0], "ip", "link", "add", "docker0", "type", "bridge")
			run(t, machines[0], "ip", "addr", "add", c.other, "dev", "docker0")
			run(t, machines[0], "ip", "link", "set", "docker0", "up")
			start(t, machines[0], "club", 4001)
			start(t, machines[1], "club", 4002).expect(t, "found", 5*time.Second)

			var q *net.UDPConn
			to := &net.UDPAddr{IP: c.f.group, Port: mdnsPort}
			err := machines[1].Do(func() error {
				ifc, err := net.InterfaceByName(ports[1].Dev)
				if err != nil {
					return err
				}
				if !c.f.v4 {
					to.Zone = ifc.Name
				}
				q, err = open(link{ifc: *ifc}, c.f)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			defer q.Close()
			b, packet, heard := question(1), make([]byte, packetMax), map[string]int{}
			for range 3 {
				q.WriteToUDP(b, to)
				q.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
				for {
					n, _, err := q.ReadFromUDP(packet)
					if err != nil {
						break
					}
					answer := new(dns.Msg)
					if err := answer.Unpack(packet[:n]); err != nil {
						t.Fatal(err)
					}
					for word := range said(answer) {
						heard[word]++
					}
				}
			}
			own, _, _ := net.ParseCIDR(c.here)
			other, _, _ := net.ParseCIDR(c.other)
			if heard["a="+own.String()] == 0 || heard["a="+other.String()] > 0 {
				t.Errorf("heard %v", heard)
			}
		})
	}
}
