package main

import (
	"fmt"
	"slices"
	"time"

	"dtpx/internal/testbed/netns"
	"dtpx/internal/testbed/wire"
)

// delays: the server limits each connection to 2 MiB/s and is a round trip of
// 20, 60 or 200 ms away, without and with loss. The issue sets no target for these;
// more than 1.4 times the rival would be a defect.
func (b *bench) delays() ([]row, error) {
	var rows []row
	for _, s := range []wire.Shape{{Delay: 10 * time.Millisecond}, {Delay: 30 * time.Millisecond}, {Delay: 100 * time.Millisecond}, {Delay: 30 * time.Millisecond, Loss: 0.001}} {
		r, err := b.delayed(s)
		if err != nil {
			return rows, err
		}
		rows = append(rows, r...)
	}
	return rows, nil
}

func (b *bench) delayed(s wire.Shape) ([]row, error) {
	lab, err := netns.New()
	if err != nil {
		return nil, err
	}
	defer lab.Close()
	server, client, err := pair(lab)
	if err != nil {
		return nil, err
	}
	w, err := wire.Join(lab, server, "10.77.1.1/24", client, "10.77.1.2/24", s)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	o, err := b.originAt(server, "10.77.1.1", "-per-conn", "2MiB/s", "-max-conns", "16")
	if err != nil {
		return nil, err
	}
	defer o.stop()
	const size = 128
	var ours, theirs []float64
	for i := range b.rounds {
		n, err := b.dtpx(client.Command, "127.0.0.1:3128", trusting(o))
		if err != nil {
			return nil, err
		}
		url := fmt.Sprintf("%s/%dMiB/delay%d.bin", o.https, size, i)
		t, err := b.curl(client.Command, size*mib, url, through(n)...)
		n.stop()
		if err != nil {
			return nil, err
		}
		rival, err := b.aria(client.Command, 16, url, o.ca)
		if err != nil {
			return nil, err
		}
		ours, theirs = append(ours, t.total), append(theirs, rival)
	}
	name := fmt.Sprintf("round trip %v, loss %g %%", 2*s.Delay, 100*s.Loss)
	return []row{{name, "time / aria2c -x16", median(ours) / median(theirs), 1.40, true,
		fmt.Sprintf("%.2f s, aria2c %.2f s, ideal %.2f s", median(ours), median(theirs), float64(size)/32)}}, nil
}

// farLink: one link of 32 Mbit/s and a round trip of 60 ms, nothing to gain.
func (b *bench) farLink() ([]row, error) {
	lab, err := netns.New()
	if err != nil {
		return nil, err
	}
	defer lab.Close()
	server, client, err := pair(lab)
	if err != nil {
		return nil, err
	}
	w, err := wire.Join(lab, server, "10.77.1.1/24", client, "10.77.1.2/24", wire.Shape{Delay: 30 * time.Millisecond, Rate: 32e6})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	o, err := b.originAt(server, "10.77.1.1")
	if err != nil {
		return nil, err
	}
	defer o.stop()
	const size = 32
	var ours, direct []float64
	for i := range 2*b.rounds + 1 {
		n, err := b.dtpx(client.Command, "127.0.0.1:3128", trusting(o))
		if err != nil {
			return nil, err
		}
		url := fmt.Sprintf("%s/%dMiB/far%d.bin", o.https, size, i)
		t, err := b.curl(client.Command, size*mib, url, through(n)...)
		n.stop()
		if err != nil {
			return nil, err
		}
		d, err := b.curl(client.Command, size*mib, url, "--cacert", o.ca)
		if err != nil {
			return nil, err
		}
		ours, direct = append(ours, t.total), append(direct, d.total)
	}
	return []row{{"link of 32 Mbit/s, 60 ms, 32 MiB", "rate / direct", median(direct) / median(ours), 0.98, false,
		fmt.Sprintf("%.2f s (worst %.2f), direct %.2f s", median(ours), slices.Max(ours), median(direct))}}, nil
}
