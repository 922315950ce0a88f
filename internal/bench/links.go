package main

import (
	"context"
	"fmt"

	"dtpx/internal/testbed/netns"
)

// link: one shaped link of 100 Mbit/s, nothing to gain; dtpx must not lose.
func (b *bench) link() ([]row, error) {
	lab, err := netns.New()
	if err != nil {
		return nil, err
	}
	defer lab.Close()
	server, client, err := pair(lab)
	if err != nil {
		return nil, err
	}
	cable, err := lab.Connect(server, "10.77.1.1/24", client, "10.77.1.2/24")
	if err != nil {
		return nil, err
	}
	if err := cable.A.Shape(100e6); err != nil {
		return nil, err
	}
	o, err := b.originAt(server, "10.77.1.1")
	if err != nil {
		return nil, err
	}
	defer o.stop()
	var ours, direct, waste []float64
	const size = 128
	for i := range b.rounds {
		n, err := b.dtpx(client.Command, "127.0.0.1:3128", trusting(o))
		if err != nil {
			return nil, err
		}
		url := fmt.Sprintf("%s/%dMiB/link%d.bin", o.https, size, i)
		before, _ := cable.A.Carried()
		s, err := b.curl(client.Command, size*mib, url, through(n)...)
		after, _ := cable.A.Carried()
		n.stop()
		if err != nil {
			return nil, err
		}
		d, err := b.curl(client.Command, size*mib, url, "--cacert", o.ca)
		if err != nil {
			return nil, err
		}
		alone, _ := cable.A.Carried()
		ours, direct = append(ours, s.total), append(direct, d.total)
		waste = append(waste, 100*float64((after-before)-(alone-after))/float64(size*mib))
	}
	a, r := median(ours), median(direct)
	return []row{
		{"link of 100 Mbit/s, 128 MiB", "rate / direct", r / a, 0.98, false, fmt.Sprintf("%.2f s, direct %.2f s", a, r)},
		{"link of 100 Mbit/s, 128 MiB", "more bytes than direct, %", median(waste), 0.5, true, "on the wire, headers included"},
	}, nil
}

// interfaces: the client has two links of 4 MB/s to the server.
func (b *bench) interfaces() ([]row, error) {
	lab, err := netns.New()
	if err != nil {
		return nil, err
	}
	defer lab.Close()
	server, client, err := pair(lab)
	if err != nil {
		return nil, err
	}
	var cables []netns.Cable
	for i := 1; i <= 2; i++ {
		c, err := lab.Connect(server, fmt.Sprintf("10.77.%d.1/24", i), client, fmt.Sprintf("10.77.%d.2/24", i))
		if err != nil {
			return nil, err
		}
		if err := c.A.Shape(32e6); err != nil {
			return nil, err
		}
		cables = append(cables, c)
	}
	// The server has an address of its own, reached by the first link unless a
	// socket is bound to the second.
	if err := server.Run("ip", "addr", "add", "10.99.0.1/32", "dev", "lo"); err != nil {
		return nil, err
	}
	for i, c := range cables {
		if err := client.Run("ip", "route", "add", "10.99.0.1/32", "via", fmt.Sprintf("10.77.%d.1", i+1), "dev", c.B.Dev, "metric", fmt.Sprint(100+i)); err != nil {
			return nil, err
		}
	}
	o, err := b.originAt(server, "10.99.0.1")
	if err != nil {
		return nil, err
	}
	defer o.stop()
	return b.twoLinks(client, o, cables)
}

func (b *bench) twoLinks(client *netns.Machine, o *origin, cables []netns.Cable) ([]row, error) {
	const size = 128
	var rates, waste []float64
	for i := range b.rounds {
		n, err := b.dtpx(client.Command, "127.0.0.1:3128", trusting(o)+"accelerate: {interfaces: ["+cables[1].B.Dev+"]}\n")
		if err != nil {
			return nil, err
		}
		url := fmt.Sprintf("%s/%dMiB/two%d.bin", o.https, size, i)
		before := carried(cables)
		s, err := b.curl(client.Command, size*mib, url, through(n)...)
		after := carried(cables)
		n.stop()
		if err != nil {
			return nil, err
		}
		rates = append(rates, size*mib/s.total)
		waste = append(waste, 100*float64(after-before)/float64(size*mib)-100)
	}
	// What one link carries of content alone: measured, because headers count.
	d, err := b.curl(client.Command, 32*mib, o.https+"/32MiB/one.bin", "--cacert", o.ca)
	if err != nil {
		return nil, err
	}
	one := 32 * mib / d.total
	return []row{{"two interfaces of 4 MB/s, 128 MiB", "rate / sum of the links", median(rates) / (2 * one), 0.98, false,
		fmt.Sprintf("%.2f MB/s, one link alone %.2f MB/s; %.1f %% more on the wire than content", median(rates)/1e6, one/1e6, median(waste))}}, nil
}

func carried(cables []netns.Cable) (n int64) {
	for _, c := range cables {
		k, _ := c.A.Carried()
		n += k
	}
	return n
}

func pair(lab *netns.Lab) (server, client *netns.Machine, err error) {
	if server, err = lab.Machine("server"); err != nil {
		return nil, nil, err
	}
	client, err = lab.Machine("client")
	return server, client, err
}

// originAt starts an origin in a namespace; its control port is asked there.
func (b *bench) originAt(m *netns.Machine, addr string, args ...string) (*origin, error) {
	o := &origin{http: "http://" + addr + ":8080", https: "https://" + addr + ":8443", control: "http://" + addr + ":8081", ca: b.fresh("origin-ca")}
	var err error
	args = append([]string{"-listen", addr + ":8080", "-tls-listen", addr + ":8443", "-control", addr + ":8081", "-ca", o.ca, "-no-h2", "-host", addr}, args...)
	o.process, err = start(m.Command, b.path("origin"), args...)
	if err != nil {
		return nil, err
	}
	o.get = func(url string) ([]byte, error) {
		return m.Command(context.Background(), "curl", "-s", "-f", "--noproxy", "*", url).Output()
	}
	return o, waitFor(func() error { _, err := o.get(o.control + "/_stats"); return err })
}
