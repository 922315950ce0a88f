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
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
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
}

// Room is one machine.
type Room struct {
	Env    []string // of its dtpx, beside what all have
	Name   string
	M      *netns.Machine
	WAN    netns.Cable // A is the internet's end: its shaping is the download rate
	LAN    netns.Port
	Switch netns.Port // the switch's side of LAN
	Home   string
	Config string // of the last Serve

	far    *wire.Wire // WAN, where it has a delay
	house  *House
	binary string
	cmd    *exec.Cmd
	gone   chan struct{}
	Log    *Output // what dtpx wrote, all runs
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
	// Linux' default, whatever this machine has: what the origin does after a
	// pause or a loss decides how far links fare.
	if err = h.Internet.Run("sh", "-c", "echo cubic >/proc/sys/net/ipv4/tcp_congestion_control"); err != nil {
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

// Output collects what processes write. It is safe for concurrent use.
type Output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// Command prepares a program in the room, in a home of its own and under the
// room's host name.
func (r *Room) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	script := `hostname "$0" && exec "$@"`
	cmd := r.M.Command(ctx, "unshare", append([]string{"--uts", "sh", "-c", script, r.Name, name}, args...)...)
	cmd.Dir = r.Home
	cmd.Env = []string{"HOME=" + r.Home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "GORACE=atexit_sleep_ms=0"}
	cmd.Env = append(cmd.Env, r.Env...)
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// Run runs a program to its end and returns what it printed.
func (r *Room) Run(ctx context.Context, name string, args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := r.Command(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s in %s: %w: %s", name, r.Name, err, errs.String())
	}
	return out.String(), err
}

// Dtpx runs a command of dtpx.
func (r *Room) Dtpx(ctx context.Context, args ...string) (string, error) {
	return r.Run(ctx, r.binary, args...)
}

// Lend is the config of a room whose members may reach the origin: its
// addresses look public, so nothing has to be allowed.
const Lend = "cluster: {lend: {quota: 0}}\n"

// Serve starts dtpx with config, which needs not name the origin's CA, and
// returns when it answers.
func (r *Room) Serve(config string) error {
	r.Config = filepath.Join(r.Home, "proxy.yaml")
	if err := os.WriteFile(r.Config, []byte("upstream_ca: "+r.house.CA+"\n"+config), 0o600); err != nil {
		return err
	}
	return r.Start()
}

// Start starts dtpx as the last Serve did.
func (r *Room) Start() error {
	r.cmd = r.Command(context.Background(), r.binary, "serve", "-config", r.Config)
	r.cmd.Stdout, r.cmd.Stderr = r.Log, r.Log
	if err := r.cmd.Start(); err != nil {
		return err
	}
	gone, cmd := make(chan struct{}), r.cmd
	r.gone = gone
	go func() { defer close(gone); _ = cmd.Wait() }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := r.client(5 * time.Second).Get("http://127.0.0.1:3128/healthz")
		if err == nil {
			resp.Body.Close()
			return nil
		}
		select {
		case <-gone:
			return fmt.Errorf("dtpx in %s has ended: %s", r.Name, r.Log)
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("dtpx in %s does not answer: %w", r.Name, err)
		}
	}
}

// client asks from inside the room.
func (r *Room) client(patience time.Duration) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: r.M.Dial, DisableKeepAlives: true}, Timeout: patience}
}

// Get reads one of the node's own documents. Safe for concurrent use.
func (r *Room) Get(path string, v any) error {
	resp, err := r.client(10 * time.Second).Get("http://127.0.0.1:3128" + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if s, ok := v.(*string); ok {
		*s = string(b)
		return nil
	}
	return json.Unmarshal(b, v)
}

// PID of the running dtpx.
func (r *Room) PID() int { return r.cmd.Process.Pid }

// Signal sends one to the running dtpx.
func (r *Room) Signal(s os.Signal) error { return r.cmd.Process.Signal(s) }

// Running reports whether dtpx was started and has not ended.
func (r *Room) Running() bool {
	if r.cmd == nil {
		return false
	}
	select {
	case <-r.gone:
		return false
	default:
		return true
	}
}

// Kill ends dtpx as a power cut would, if it runs.
func (r *Room) Kill() {
	if r.Running() {
		_ = r.cmd.Process.Signal(syscall.SIGKILL)
		<-r.gone
	}
}

// Stop ends dtpx as systemd would.
func (r *Room) Stop() error {
	if !r.Running() {
		return nil
	}
	_ = r.Signal(syscall.SIGTERM)
	select {
	case <-r.gone:
	case <-time.After(90 * time.Second):
		r.Kill()
		return errors.New("dtpx does not end")
	}
	if code := r.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("dtpx in %s: exit status %d: %s", r.Name, code, r.Log)
	}
	return nil
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
