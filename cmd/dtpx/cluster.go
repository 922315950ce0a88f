package main

import (
	"fmt"
	"io"
	"iter"
	"os"
	"path"
	"strings"
	"time"

	"dtpx/cache"
	"dtpx/cluster"
	"dtpx/cmd/dtpx/internal/config"
	"dtpx/internal/tcpinfo"
	ranges "dtpx/range"
)

// openCluster makes this node a member, where there is a group.
func (n *node) openCluster() error {
	cfg, out := n.cfg.Cluster, n.out
	group, err := configuredGroup(cfg)
	if err != nil {
		return err
	}
	hour, minute := cfg.Lend.Clock()
	o := cluster.Options{
		Dir: n.dir, Group: group, Name: hostname,
		Listen: cfg.Listen, Interfaces: cfg.Interfaces, MDNS: cfg.MDNS, Join: cfg.Join, Advertise: cfg.Advertise,
		// Behind a parent proxy origins are the parent's to reach.
		Trust: cfg.Trust.Mode == "group", TrustNodes: cfg.Trust.Nodes, Borrow: cfg.Borrow && out.upstream == nil, Cap: int64(cfg.Cap), Fair: cfg.Spend == "fair",
		Credentials: func(host string) bool { return globbed(cfg.Credentials, host) },
		Lend: cluster.Lend{
			Enabled: cfg.Lend.Enabled, Quota: int64(cfg.Lend.Quota), Hour: hour, Minute: minute, Rate: int64(cfg.Lend.Rate),
			Connections: cfg.Lend.Connections, Ports: cfg.Lend.Ports, Allow: cfg.Lend.Allow,
		},
		Base: out.transport(nil), Spent: n.spent, Busy: n.busy, Waits: n.waits, Log: n.log,
	}
	// Behind a parent proxy nobody knows whether what is cached was public.
	if n.cache != nil && n.cfg.Cache.Share && out.upstream == nil {
		offer := n.cache.Offer()
		o.Share, o.ShareVersion = offer, offer.Version
	}
	if n.cluster, err = cluster.Open(o); err != nil {
		return err
	}
	if n.cache != nil {
		n.cache.Ask(n.neighbours)
		n.cache.Spare(n.cluster.Spare)
		if o.Share != nil {
			n.cache.Place(n.places)
		}
	}
	local := n.engine.Sources
	n.engine.Sources = func(t ranges.Target) []ranges.Source {
		var all []ranges.Source
		if local != nil {
			all = local(t)
		}
		return append(all, n.cluster.Sources(t)...)
	}
	n.engine.Budget = n.cluster.Budget
	return nil
}

// neighbours are the members whose caches may be asked.
func (n *node) neighbours() (all []cache.Neighbour) {
	for _, s := range n.cluster.Sharers() {
		all = append(all, cache.Neighbour{ID: s.ID, Name: s.Name, Trusted: s.Trusted, Version: s.Version, Via: s.Via})
	}
	return all
}

// places are the machines over which what is cached is spread: this one and the
// members whose caches count, by their keys.
func (n *node) places() (self string, others []string) {
	own := n.cluster.Self()
	if own == nil {
		return "", nil
	}
	for _, s := range n.cluster.Sharers() {
		if s.Trusted {
			others = append(others, s.ID)
		}
	}
	return own.Node.String(), others
}

// configuredGroup is the group that the config file names, which goes before
// that of group.json.
func configuredGroup(c config.Cluster) (cluster.Group, error) {
	if c.Group == "" {
		return cluster.Group{}, nil
	}
	secret := c.Secret
	if c.SecretFile != "" {
		b, err := os.ReadFile(c.SecretFile)
		if err != nil {
			return cluster.Group{}, fmt.Errorf("read cluster.secret_file: %w", err)
		}
		secret = strings.TrimSpace(string(b))
	}
	if secret == "" {
		return cluster.Group{}, fmt.Errorf("cluster.group is %q, but there is no cluster.secret; or make a group with dtpx group new and leave both out", c.Group)
	}
	g, err := cluster.FromPassphrase(c.Group, secret, c.Trust.Mode == "group")
	if err != nil {
		return g, fmt.Errorf("cluster.secret: %w", err)
	}
	return g, nil
}

// hostname is a hint for people.
func hostname() string {
	name, _ := os.Hostname()
	return name
}

func globbed(globs []string, host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, g := range globs {
		if ok, _ := path.Match(strings.ToLower(g), host); ok {
			return true
		}
	}
	return false
}

// spent is what downloads have cost this machine's own link.
func (n *node) spent() (total int64) {
	s := n.engine.Stats()
	total = s.Bytes[ranges.KindDirect] + s.Bytes[ranges.KindInterface] + s.Passed
	for src := range n.ownSources() {
		total += src.Bytes
	}
	return total
}

// busy is the rate of what goes through the proxy over this machine's own links: all of
// it where the system tells what a connection has moved, else downloads. Other programs
// that use the line are not seen.
func (n *node) busy() (rate float64) {
	for src := range n.ownSources() {
		if !tcpinfo.Known || src.Kind == ranges.KindInterface {
			rate += src.Rate
		}
	}
	return rate + n.traffic.Rate(time.Now())
}

// waits reports that a connection of the owner gets no answer.
func (n *node) waits() bool { return n.traffic.Waits(time.Now()) }

// ownSources are those of running downloads that are this machine's own.
func (n *node) ownSources() iter.Seq[ranges.SourceInfo] {
	return func(yield func(ranges.SourceInfo) bool) {
		for _, d := range n.engine.Downloads() {
			for _, src := range d.Sources {
				own := src.Kind == ranges.KindDirect || src.Kind == ranges.KindInterface
				if own && d.State == "running" && !yield(src) {
					return
				}
			}
		}
	}
}

// Peers implements proxy.Node.
func (n *node) Peers() any {
	if n.cluster == nil {
		return cluster.Info{Members: []cluster.Peer{}}
	}
	return n.cluster.Info()
}

func (n *node) writeClusterMetrics(w io.Writer) {
	if n.cluster != nil {
		n.cluster.WriteMetrics(w)
	}
}
