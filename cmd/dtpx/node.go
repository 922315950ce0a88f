package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dtpx/cache"
	"dtpx/certs"
	"dtpx/cluster"
	"dtpx/cmd/dtpx/internal/config"
	"dtpx/internal/traffic"
	"dtpx/proxy"
	ranges "dtpx/range"
)

// node is a wired dtpx: everything that serve runs.
type node struct {
	cfg        config.Config
	configFile string
	dir        string
	listen     string   // as bound
	clientAddr string   // as a client on this machine names it
	bundle     string   // PEM file with the system's roots and our CA
	lock       *os.File // held while the node runs
	log        *slog.Logger
	ca         *certs.Authority
	caNew      bool
	out        *outbound
	engine     *ranges.Engine
	cache      *cache.Cache // nil: off
	hosts      *ranges.Hosts
	tunnelled  []proxy.Tunnelled // as last saved
	router     *router
	cluster    *cluster.Cluster // nil: of get, which borrows from nobody
	guard      *proxy.Guard
	traffic    traffic.Meter
	hop        string // this node's random name, against loops
	server     *proxy.Server
	started    time.Time
}

func newNode(cfg config.Config, addr net.Addr, log *slog.Logger) (*node, error) {
	dir, err := stateDir(cfg.State)
	if err != nil {
		return nil, err
	}
	n := &node{cfg: cfg, dir: dir, log: log, started: time.Now(), listen: addr.String(), clientAddr: clientAddr(addr)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w; choose another with -state", err)
	}
	if n.lock, err = lockState(dir); err != nil {
		return nil, err
	}
	if n.ca, n.caNew, err = certs.LoadOrCreate(dir, nil, log); err != nil {
		return nil, err
	}
	token, err := loadToken(dir)
	if err != nil {
		return nil, err
	}
	known, err := loadMemory(dir)
	if err != nil {
		log.Warn(err.Error())
	}
	n.hosts, n.tunnelled = known.Hosts, known.Tunnelled
	n.hosts.SetNetwork(networkName())
	if n.bundle, err = writeBundle(dir, n.ca.PEM(), log); err != nil {
		return nil, err
	}
	if err := n.wire(token); err != nil {
		return nil, err
	}
	rec := nodeRecord{Version: version, Listen: n.clientAddr, PID: os.Getpid()}
	if err := rec.save(dir); err != nil { // a full disk is no reason not to serve
		log.Warn("the node's record is not written: dtpx status, peers and others will not find this node", "err", err)
	}
	return n, nil
}

// wire builds the chain client → proxy → router → engine → origin.
func (n *node) wire(token string) error {
	if err := n.openCache(); err != nil {
		return err
	}
	if err := n.wireOutbound(); err != nil {
		return err
	}
	if err := n.openCluster(); err != nil {
		return err
	}
	cfg := n.cfg
	n.server = &proxy.Server{
		Transport: n.router, Dial: n.router.Dial, TLS: n.ca.ServerConfig,
		Intercept: proxy.Intercept{Enabled: cfg.Intercept.Enabled, Only: cfg.Intercept.Only, Never: cfg.Intercept.Never, Learn: cfg.Intercept.Learn, Known: n.tunnelled},
		Allow:     cfg.Allow, Users: cfg.Users, Guard: n.guard, Token: token, CAPEM: n.ca.PEM(), CADER: n.ca.DER(),
		Node: n, ClientContext: clientContext, HopName: n.hop, Log: n.log,
	}
	return nil
}

// wireOutbound builds what lies behind the proxy: router → engine → origin.
func (n *node) wireOutbound() error {
	var raw [16]byte
	rand.Read(raw[:])
	n.hop = hex.EncodeToString(raw[:])
	out, err := newOutbound(n.cfg, n.hop)
	if err != nil {
		return err
	}
	a := n.cfg.Accelerate
	n.engine = &ranges.Engine{
		MinSize: int64(a.MinSize), Window: int64(a.Window), Memory: ranges.NewMemory(int64(a.Memory)),
		Connections: a.Connections, Disabled: !a.Enabled, Never: a.Never, Hosts: n.hosts, Log: n.log,
	}
	if err := n.addInterfaces(out); err != nil {
		return err
	}
	n.out = out
	n.guard = new(proxy.Guard)
	if out.upstream == nil { // a parent proxy may be anywhere
		n.traffic.Counts = traffic.Internet(n.cfg.Cluster.Lend.Allow)
	}
	n.router = newRouter(out, n.engine, n.cache, n.guard, &n.traffic)
	return nil
}

// addInterfaces makes each configured network interface a source.
func (n *node) addInterfaces(out *outbound) error {
	var srcs []ranges.Source
	for _, name := range n.cfg.Accelerate.Interfaces {
		s, err := ranges.NewInterface(out.transport(nil), name)
		if err != nil {
			return fmt.Errorf("accelerate.interfaces: %s: %w", name, err)
		}
		srcs = append(srcs, s)
	}
	if len(srcs) > 0 && out.upstream == nil {
		n.engine.Sources = func(ranges.Target) []ranges.Source { return srcs }
	}
	return nil
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }

// keep saves what was learnt now and then, until ctx ends.
func (n *node) keep(ctx context.Context) {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n.hosts.SetNetwork(networkName())
			n.save()
		}
	}
}

func (n *node) save() {
	tunnelled := n.tunnelled
	if n.server != nil {
		tunnelled = n.server.Tunnelled()
	}
	if !n.hosts.Changed() && slices.Equal(tunnelled, n.tunnelled) {
		return
	}
	n.tunnelled = tunnelled
	if err := (memory{n.hosts, tunnelled}).save(n.dir); err != nil {
		n.log.Warn("cannot save what was learnt about hosts", "err", err)
	}
}

// close ends downloads that outlived the server and saves the state.
func (n *node) close() {
	n.engine.Close()
	n.closeCache()
	n.router.close()
	if n.cluster != nil {
		if err := n.cluster.Close(); err != nil {
			n.log.Warn("cannot write the accounts of the group down", "err", err)
		}
	}
	n.save()
	os.Remove(n.path(nodeFile))
	n.lock.Close()
}

// clientAddr is the address that a program on this machine should use.
func clientAddr(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if !ok || !t.IP.IsUnspecified() {
		return a.String()
	}
	return fmt.Sprintf("127.0.0.1:%d", t.Port)
}

// networkName tells networks apart without naming them: what is learnt about
// hosts holds for one of them only.
func networkName() string {
	var nets []string
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, ok := a.(*net.IPNet); ok && p.IP.IsGlobalUnicast() {
			nets = append(nets, p.IP.Mask(p.Mask).String())
		}
	}
	slices.Sort(nets)
	sum := sha256.Sum256([]byte(strings.Join(nets, " ")))
	return hex.EncodeToString(sum[:8])
}

// systemRoots are where distributions keep their bundle of roots.
var systemRoots = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
}

// writeBundle writes a file with the system's roots and our CA. Programs that
// take one bundle (curl, OpenSSL, Python) replace their roots by it, and must
// still verify what is tunnelled. What is there from an earlier start will do where
// the disk is full.
func writeBundle(dir string, ca []byte, log *slog.Logger) (string, error) {
	var all []byte
	for _, f := range systemRoots {
		if b, err := os.ReadFile(f); err == nil {
			if block, _ := pem.Decode(b); block != nil {
				all = append(b, '\n')
				break
			}
		}
	}
	all = append(all, ca...)
	path := filepath.Join(dir, "bundle.pem")
	sweep(path)
	old, _ := os.ReadFile(path)
	if string(old) == string(all) {
		return path, nil
	}
	err := writeFile(path, all, 0o644)
	if err != nil && strings.HasSuffix(string(old), string(ca)) {
		log.Warn("the system's new roots are not in the bundle", "err", err)
		return path, nil
	}
	if err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	return path, nil
}
