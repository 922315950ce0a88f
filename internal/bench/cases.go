package main

import (
	"fmt"
	"strings"
)

const mib = 1 << 20

// through is how curl uses a node.
func through(n *node) []string {
	return []string{"-x", "http://" + n.addr, "--cacert", n.state + "/ca.pem"}
}

func trusting(o *origin) string { return "upstream_ca: " + o.ca + "\n" }

// throttled: the server limits each connection to 2 MiB/s and allows 16. Each
// round has a dtpx that has never seen the host.
func (b *bench) throttled(scheme string, size int64) ([]row, error) {
	o, err := b.origin("-per-conn", "2MiB/s", "-max-conns", "16")
	if err != nil {
		return nil, err
	}
	defer o.stop()
	base := o.http
	if scheme == "https" {
		base = o.https
	}
	var ours, theirs, waste []float64
	for i := range b.rounds {
		url := fmt.Sprintf("%s/%dMiB/f%d.bin", base, size, i)
		n, err := b.dtpx(local, "127.0.0.1:"+freePort(), trusting(o))
		if err != nil {
			return nil, err
		}
		if err := o.reset(); err != nil {
			return nil, err
		}
		s, err := b.curl(local, size*mib, url, through(n)...)
		n.stop()
		if err != nil {
			return nil, err
		}
		crossed, _, err := o.crossed()
		if err != nil {
			return nil, err
		}
		rival, err := b.aria(local, 16, url, o.ca)
		if err != nil {
			return nil, err
		}
		ours, theirs = append(ours, s.total), append(theirs, rival)
		waste = append(waste, 100*float64(crossed-size*mib)/float64(size*mib))
	}
	name := fmt.Sprintf("2 MiB/s a connection, %s %d MiB", scheme, size)
	target := 1.05
	if size < 512 {
		target = 1.10
	}
	a, r := median(ours), median(theirs)
	return []row{
		{name, "time / aria2c -x16", a / r, target, true, fmt.Sprintf("%.2f s, aria2c %.2f s, ideal %.2f s", a, r, float64(size)/32)},
		{name, "wasted, % of the file", median(waste), 0.5, true, ""},
	}, nil
}

// firstByte compares the client's wait with a direct request's.
func (b *bench) firstByte() ([]row, error) {
	o, err := b.origin("-per-conn", "2MiB/s")
	if err != nil {
		return nil, err
	}
	defer o.stop()
	n, err := b.dtpx(local, "127.0.0.1:"+freePort(), trusting(o))
	if err != nil {
		return nil, err
	}
	defer n.stop()
	var rows []row
	for _, base := range []string{o.http, o.https} {
		var direct, ours []float64
		for i := range 3*b.rounds + 1 {
			url := fmt.Sprintf("%s/5MiB/first%d.bin", base, i)
			s, err := b.first(url, "--cacert", o.ca)
			if err != nil {
				return rows, err
			}
			t, err := b.first(url, through(n)...)
			if err != nil {
				return rows, err
			}
			if i > 0 { // the first one mints the leaf certificate
				direct, ours = append(direct, s), append(ours, t)
			}
		}
		scheme, _, _ := strings.Cut(base, ":")
		d, t := median(direct)*1e3, median(ours)*1e3
		rows = append(rows, row{"first byte, " + scheme, "ms more than direct", t - d, 10, true, fmt.Sprintf("%.1f ms, direct %.1f ms", t, d)})
	}
	return rows, nil
}

// first is the time to the first byte; the download is then broken off.
func (b *bench) first(url string, args ...string) (float64, error) {
	args = append([]string{"-s", "-o", "/dev/null", "-w", "%{time_starttransfer} %{http_code}", "--noproxy", "", "-m", "0.4"}, args...)
	out, _ := local(ctx, "curl", append(args, url)...).Output() // ends by its time limit
	var s float64
	var code int
	if _, err := fmt.Sscan(string(out), &s, &code); err != nil || code != 200 {
		return 0, fmt.Errorf("curl: status %d, %v", code, err)
	}
	return s, nil
}

// limited: an unknown limit of 3 connections, more get 503.
func (b *bench) limited() ([]row, error) {
	var ours, theirs, refused, again []float64
	for i := range b.rounds {
		o, err := b.origin("-per-conn", "2MiB/s", "-max-conns", "3")
		if err != nil {
			return nil, err
		}
		url := fmt.Sprintf("%s/64MiB/limit%d.bin", o.https, i)
		n, err := b.dtpx(local, "127.0.0.1:"+freePort(), trusting(o))
		if err != nil {
			return nil, err
		}
		s, err := b.curl(local, 64*mib, url, through(n)...)
		if err == nil {
			var k int
			_, k, err = o.crossed()
			refused = append(refused, float64(k))
		}
		if err == nil {
			o.reset()
			_, err = b.curl(local, 64*mib, url+"?x-again=1", through(n)...)
		}
		if err == nil {
			var k int
			_, k, err = o.crossed()
			again = append(again, float64(k))
		}
		n.stop()
		if err != nil {
			o.stop()
			return nil, err
		}
		rival, err := b.aria(local, 3, url, o.ca)
		o.stop()
		if err != nil {
			return nil, err
		}
		ours, theirs = append(ours, s.total), append(theirs, rival)
	}
	a, r := median(ours), median(theirs)
	return []row{
		{"limit of 3 connections, 64 MiB", "time / aria2c -x3", a / r, 1.05, true, fmt.Sprintf("%.2f s, aria2c %.2f s; %g refused", a, r, median(refused))},
		{"limit of 3 connections, 64 MiB", "refused at the next download", median(again), 0, true, ""},
	}, nil
}

// loopback: nothing is throttled, 1 GiB; acceleration must not cost anything.
func (b *bench) loopback() ([]row, error) {
	o, err := b.origin()
	if err != nil {
		return nil, err
	}
	defer o.stop()
	var rows []row
	on, err := b.dtpx(local, "127.0.0.1:"+freePort(), trusting(o))
	if err != nil {
		return nil, err
	}
	defer on.stop()
	off, err := b.dtpx(local, "127.0.0.1:"+freePort(), trusting(o)+"accelerate: {enabled: false}\n")
	if err != nil {
		return nil, err
	}
	defer off.stop()
	bare, err := b.bare()
	if err != nil {
		return nil, err
	}
	defer bare.stop()
	for _, base := range []string{o.http, o.https} {
		var with, without, naked []float64
		for i := range 2*b.rounds + 1 {
			url := fmt.Sprintf("%s/1GiB/loop%d.bin", base, i)
			a, err := b.curl(local, 1024*mib, url, through(on)...)
			if err != nil {
				return rows, err
			}
			c, err := b.curl(local, 1024*mib, url, through(off)...)
			if err != nil {
				return rows, err
			}
			k, err := b.curl(local, 1024*mib, url, "-x", "http://"+bare.addr, "-k")
			if err != nil {
				return rows, err
			}
			if i > 0 {
				with, without, naked = append(with, a.total), append(without, c.total), append(naked, k.total)
			}
		}
		scheme, _, _ := strings.Cut(base, ":")
		rows = append(rows, row{"loopback 1 GiB, " + scheme, "time on / off", median(with) / median(without), 1.05, true,
			fmt.Sprintf("on %.2f s, off %.2f s, bare goproxy %.2f s", median(with), median(without), median(naked))})
	}
	return rows, nil
}
