package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
	"dtpx/internal/testbed/netns"
)

// inn is one node with one shaped link that serves clients of many addresses. All
// addresses are the node's own machine's, which the node cannot tell.
type inn struct {
	lab    *netns.Lab
	m      *netns.Machine
	origin *testbed.Origin
	node   *node
}

const (
	innAddr   = "10.77.1.2"
	innOrigin = "10.77.1.1"
)

func clientAddr(i int) string { return fmt.Sprintf("10.5.%d.%d", i/200, 1+i%200) }

// openInn has a link of so many bits per second and clients with addresses.
func (b *bench) openInn(bits int64, limits testbed.Limits, clients int, config string) (i *inn, err error) {
	i = &inn{}
	if i.lab, err = netns.New(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			i.close()
		}
	}()
	server, m, err := pair(i.lab)
	if err != nil {
		return nil, err
	}
	i.m = m
	cable, err := i.lab.Connect(server, innOrigin+"/24", m, innAddr+"/24")
	if err != nil {
		return nil, err
	}
	if err := cable.A.Shape(bits); err != nil {
		return nil, err
	}
	if err := server.Route("10.5.0.0/16", innAddr); err != nil {
		return nil, err
	}
	for k := range clients {
		if err := m.Run("ip", "addr", "add", clientAddr(k)+"/32", "dev", "lo"); err != nil {
			return nil, err
		}
	}
	if i.origin, err = testbed.New(testbed.Config{NoH2: true, Limits: limits, ListenFunc: server.Listen,
		Listen: innOrigin + ":80", TLSListen: "off", Hosts: []string{innOrigin}}); err != nil {
		return nil, err
	}
	i.node, err = b.dtpx(m.Command, innAddr+":3128", "allow: [127.0.0.0/8, 10.0.0.0/8]\n"+config)
	return i, err
}

func (i *inn) close() {
	if i.node != nil {
		i.node.stop()
	}
	if i.origin != nil {
		i.origin.Close()
	}
	i.lab.Close()
}

// through is the way of client k, through the node or past it.
func (i *inn) through(k int, past bool) *http.Transport {
	from := &net.TCPAddr{IP: net.ParseIP(clientAddr(k))}
	by := http.ProxyURL(&url.URL{Scheme: "http", Host: innAddr + ":3128"})
	if past {
		by = nil
	}
	return &http.Transport{
		Proxy: by, DisableCompression: true,
		DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
			err = i.m.Do(func() error {
				c, err = (&net.Dialer{LocalAddr: from, FallbackDelay: -1}).DialContext(ctx, network, addr)
				return err
			})
			return c, err
		},
	}
}

// fetch is a download of client k; it is counted in sum as it comes.
func (i *inn) fetch(ctx context.Context, k int, past bool, path string, sum *atomic.Int64) hostel.Download {
	u := testbed.URL("http://"+innOrigin, path)
	tr := i.through(k, past)
	defer tr.CloseIdleConnections()
	var last int64
	d := hostel.Fetch(ctx, tr, u, func(n int64) { sum.Add(n - last); last = n })
	if d.Err == nil && d.SHA256 != i.origin.Content(u).SHA256() {
		d.Err = errors.New("wrong bytes")
	}
	return d
}

// crowding: client A runs 8 downloads, then B begins one. How much of the line
// does B get?
func (b *bench) crowding() (rows []row, err error) {
	for _, c := range []struct {
		name   string
		many   int
		limits testbed.Limits
		target float64
	}{
		{"8 downloads against 1, 4 MB/s", 8, testbed.Limits{}, 0.45},
		{"20 downloads against 1, 4 MB/s", 20, testbed.Limits{}, 0.40},
	} {
		var shares, early []float64
		var note string
		for range b.rounds {
			s, e, n, err := b.crowd(c.many, c.limits)
			if err != nil {
				return rows, err
			}
			shares, early, note = append(shares, s), append(early, e), n
		}
		rows = append(rows, row{c.name, "share of the one, 2 to 14 s", median(shares), c.target, false, note},
			row{c.name, "share of the one, 0 to 4 s", median(early), c.target / 2, false, ""})
	}
	return rows, nil
}

func (b *bench) crowd(many int, limits testbed.Limits) (share, early float64, note string, err error) {
	i, err := b.openInn(mbps(4), limits, 2, "cache: {enabled: false}\n")
	if err != nil {
		return 0, 0, "", err
	}
	defer i.close()
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	var sums [2]atomic.Int64
	start := func(k int, path string) {
		wait.Go(func() { i.fetch(ctx, k, false, path, &sums[k]) })
	}
	for n := range many {
		start(0, fmt.Sprintf("/512MiB/many%d", n))
	}
	time.Sleep(8 * time.Second)
	a0, b0 := sums[0].Load(), sums[1].Load()
	start(1, "/512MiB/one")
	at := func(from, to time.Duration) (a, b float64) {
		time.Sleep(from)
		a1, b1 := sums[0].Load(), sums[1].Load()
		time.Sleep(to - from)
		return float64(sums[0].Load() - a1), float64(sums[1].Load() - b1)
	}
	at(2*time.Second, 4*time.Second)
	a4, b4 := float64(sums[0].Load()-a0), float64(sums[1].Load()-b0)
	x, y := at(0, 10*time.Second)
	var open [2]int
	if conns, err := i.m.Command(ctx, "sh", "-c", "ss -Htn state established dst "+innOrigin+" | wc -l").Output(); err == nil {
		fmt.Sscan(string(conns), &open[0])
	}
	note = fmt.Sprintf("%.2f and %.2f MB/s, %d connections", x/10e6, y/10e6, open[0])
	return y / (x + y), b4 / (a4 + b4), note, nil
}

// house200: 200 clients at once, half of them with something small.
func (b *bench) house200() ([]row, error) {
	const clients = 200
	i, err := b.openInn(mbps(20), testbed.Limits{}, clients, "")
	if err != nil {
		return nil, err
	}
	defer i.close()
	var ours, direct []rushed // what a full queue does to single packets is luck: by rounds
	for n := range b.rounds {
		for _, past := range []bool{false, true} {
			r, err := i.rush(clients, n, past)
			if err != nil {
				return nil, err
			}
			if past {
				direct = append(direct, r)
			} else {
				ours = append(ours, r)
			}
		}
	}
	peak, err := peakRSS(i.node.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	const name = "200 clients, 512 KiB and 6 MiB"
	ratio := func(figure string, most float64, of func(rushed) float64) row {
		var all, a, b []float64
		for n := range ours {
			x, y := of(ours[n]), of(direct[n])
			all, a, b = append(all, x/y), append(a, x), append(b, y)
		}
		return row{name, figure, median(all), most, true, fmt.Sprintf("%.2f s, direct %.2f s", a, b)}
	}
	return []row{
		ratio("time / direct", 1.1, func(r rushed) float64 { return r.took }),
		ratio("99 % wait for byte 1 / direct", 1.25, func(r rushed) float64 { return last(r.first, 0.99) }),
		ratio("median wait / direct", 1.25, func(r rushed) float64 { return median(r.first) }),
		ratio("99 % of the small ones / direct", 1.25, func(r rushed) float64 { return last(r.small, 0.99) }),
		ratio("slowest large one / direct", 1.1, func(r rushed) float64 { return last(r.large, 1) }),
		{name, "peak MiB", peak, 384, true, "accelerate.memory is 256 MiB"},
	}, nil
}

// rushed is what many clients saw who came at once.
type rushed struct {
	took                float64 // seconds, as all others
	first, small, large []float64
}

func (i *inn) rush(clients, round int, past bool) (r rushed, err error) {
	var wait sync.WaitGroup
	var sum atomic.Int64
	ds := make([]hostel.Download, clients)
	began := time.Now()
	for k := range clients {
		size := "512KiB"
		if k%2 == 1 {
			size = "6MiB"
		}
		wait.Go(func() {
			ds[k] = i.fetch(context.Background(), k, past, fmt.Sprintf("/%s/c%d-%d", size, k, round), &sum)
		})
	}
	wait.Wait()
	r.took = time.Since(began).Seconds()
	for k, d := range ds {
		if d.Err != nil {
			return r, fmt.Errorf("client %d: %w", k, d.Err)
		}
		r.first = append(r.first, d.First.Seconds())
		if k%2 == 0 {
			r.small = append(r.small, d.Total.Seconds())
		} else {
			r.large = append(r.large, d.Total.Seconds())
		}
	}
	return r, nil
}

// last is the value that a part of all do not exceed.
func last(v []float64, part float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[min(len(v)-1, int(part*float64(len(v))))]
}
