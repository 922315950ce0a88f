// Package hostel is the case that dtpx was made for: a house in which each
// machine has an internet link of its own and all are on one LAN.
//
//	  Internet: the origin, 45.1.0.1 and .2, ports 80 and 443
//	  │ 44.1.1.0/24  │ 44.1.2.0/24  │ …      each link shaped
//	Rooms[0]       Rooms[1]         …        a home, dtpx
//	  └──── 10.9.0.1 ┴ 10.9.0.2 ────┘        the LAN
//
// All of it are network namespaces of one lab; addresses that look public stay
// inside. The origin runs in the calling process, dtpx in processes of its own.
package hostel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/netns"
	"dtpx/internal/testbed/wire"
)

// Config describes a house.
type Config struct {
	Binary string         // dtpx
	Dir    string         // for the homes
	Origin testbed.Config // listens on both addresses; Listen and TLSListen are set here
	Links  []int64        // bits per second of each room's internet link; 0 is not shaped
	Names  []string       // of the rooms, "" or missing: alice, bob, …

	Delay  time.Duration       // one way, of each internet link
	Uplink map[int]int         // rooms whose link is that of an earlier room, which forwards
	Hosts  map[string][]string // names that all rooms know, with their addresses
}

// House is running. Its methods are not for concurrent use unless said so.
type House struct {
	Lab      *netns.Lab
	Internet *netns.Machine
	Origin   *testbed.Origin
	Rooms    []*Room
	CA       string // file with the origin's CA

	mu     sync.Mutex
	failed error // of faults
}

// Addrs of the origin.
const (
	Addr1 = "45.1.0.1"
	Addr2 = "45.1.0.2"
)

var names = []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"}

// New builds a house in a lab that the caller closes after Close.
func New(lab *netns.Lab, c Config) (h *House, err error) {
	h = &House{Lab: lab}
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	if h.Internet, err = lab.Machine("internet"); err != nil {
		return h, err
	}
	for _, a := range []string{Addr1, Addr2} {
		if err = h.Internet.Run("ip", "addr", "add", a+"/32", "dev", "lo"); err != nil {
			return h, err
		}
	}
	var cidrs []string
	var machines []*netns.Machine
	for i, rate := range c.Links {
		r, err := h.room(c, i, rate)
		if err != nil {
			return h, err
		}
		machines, cidrs = append(machines, r.M), append(cidrs, fmt.Sprintf("10.9.0.%d/24", i+1))
	}
	ports, sw, err := lab.Switch(cidrs, machines...)
	if err != nil {
		return h, err
	}
	for i, r := range h.Rooms {
		r.LAN, r.Switch = ports[i], sw[i]
		if err := r.multicast(); err != nil {
			return h, err
		}
	}
	return h, h.origin(c)
}

func (h *House) origin(c Config) (err error) {
	o := c.Origin
	o.ListenFunc = h.Internet.Listen
	o.Listen, o.TLSListen = Addr1+":80,"+Addr2+":80", Addr1+":443,"+Addr2+":443"
	o.Hosts = append(o.Hosts, Addr1, Addr2)
	if h.Origin, err = testbed.New(o); err != nil {
		return err
	}
	h.CA = filepath.Join(c.Dir, "origin-ca.pem")
	return h.Origin.CA.WriteFile(h.CA)
}

func (h *House) room(c Config, i int, rate int64) (*Room, error) {
	name := names[i%len(names)]
	if i < len(c.Names) && c.Names[i] != "" {
		name = c.Names[i]
	}
	m, err := h.Lab.Machine(fmt.Sprintf("room%d", i))
	if err != nil {
		return nil, err
	}
	r := &Room{Name: name, M: m, house: h, binary: c.Binary, Home: filepath.Join(c.Dir, fmt.Sprintf("%d-%s", i, name)), Log: new(Output)}
	h.Rooms = append(h.Rooms, r)
	if err := os.MkdirAll(r.Home, 0o755); err != nil {
		return nil, err
	}
	if len(c.Hosts) > 0 {
		if err := r.hosts(c.Hosts); err != nil {
			return nil, err
		}
	}
	gate, up, own := h.Internet, fmt.Sprintf("44.1.%d.1", i+1), fmt.Sprintf("44.1.%d.2", i+1)
	if over, ok := c.Uplink[i]; ok {
		first := h.Rooms[over]
		gate = first.M
		err = errors.Join(gate.Forward(), h.Internet.Route(fmt.Sprintf("44.1.%d.0/24", i+1), first.WAN.B.Addr()))
	}
	if err != nil {
		return nil, err
	}
	if c.Delay > 0 {
		if r.far, err = wire.Join(h.Lab, gate, up+"/24", m, own+"/24", wire.Shape{Delay: c.Delay, Rate: rate}); err != nil {
			return nil, err
		}
		r.WAN = netns.Cable{A: r.far.A, B: r.far.B}
		return r, m.Route("default", up)
	}
	if r.WAN, err = h.Lab.Connect(gate, up+"/24", m, own+"/24"); err != nil {
		return nil, err
	}
	if rate > 0 {
		if err := r.WAN.A.Shape(rate); err != nil {
			return nil, err
		}
	}
	return r, m.Route("default", up)
}

// URL is a file on the origin's first address.
func (h *House) URL(scheme, path string, options ...string) string {
	return testbed.URL(scheme+"://"+Addr1, path, options...)
}

// Content of a URL.
func (h *House) Content(url string) testbed.Content { return h.Origin.Content(url) }

// Close ends all nodes and the origin.
func (h *House) Close() {
	for _, r := range h.Rooms {
		r.Kill()
		r.forgetHosts()
		if r.far != nil {
			r.far.Close()
		}
	}
	if h.Origin != nil {
		h.Origin.Close()
	}
}

// Download is what a client saw of one.
type Download struct {
	SHA256  string
	Bytes   int64
	First   time.Duration // until the first byte
	Total   time.Duration
	Longest time.Duration // silence between two reads, after the first byte
	ID      string        // Dtpx-Download
	Err     error
}

// Fetch downloads url through the room's dtpx, which the client trusts, and
// reads as fast as it can. Safe for concurrent use.
func (r *Room) Fetch(ctx context.Context, url string, each func(n int64)) Download {
	tr, err := r.Through()
	if err != nil {
		return Download{Err: err}
	}
	defer tr.CloseIdleConnections()
	return Fetch(ctx, tr, url, each)
}

// Fetch downloads url by any way; each is told how much has come.
func Fetch(ctx context.Context, tr http.RoundTripper, url string, each func(n int64)) (d Download) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Download{Err: err}
	}
	began := time.Now()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return Download{Err: err, Total: time.Since(began)}
	}
	defer resp.Body.Close()
	d.ID = resp.Header.Get("Dtpx-Download")
	if resp.StatusCode/100 != 2 {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		d.Err = fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(b)))
		return d
	}
	d.read(resp.Body, began, each)
	if d.Err == nil && resp.ContentLength >= 0 && d.Bytes != resp.ContentLength {
		d.Err = fmt.Errorf("a short body that looks whole: %d of %d", d.Bytes, resp.ContentLength)
	}
	return d
}

// Through is a client's way through the room's dtpx.
func (r *Room) Through() (*http.Transport, error) {
	pool, err := r.trust()
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		DialContext: r.M.Dial, Proxy: http.ProxyURL(proxyURL), DisableCompression: true,
		TLSClientConfig: &tls.Config{RootCAs: pool},
	}, nil
}
