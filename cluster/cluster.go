// Package cluster is about the other machines: who is out there, who may join,
// what they lend each other. It is no part of a download: what it gives to the
// engine is one more kind of source.
//
//	internal/group     who is a member: secret, keys, certificates
//	internal/port      the peer port: authenticated streams, packets
//	internal/discover  first contact by multicast DNS
//	internal/gossip    membership, failure detection, hints
//	internal/relay     lending: a blind TCP path to a public address
//	internal/ledger    who spent what, quotas
//	group.go           making, joining, leaving a group (group.json)
//	session.go         all of it while this node is in one group
//	peer.go, borrow.go a member, and the way to an origin through it
//	share.go           streams between caches
//	spend.go           who pays how much, who is served last
//	info.go            what people and scripts see
//
// Without a group nothing listens and nothing is sent.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"dtpx/cluster/internal/group"
	"dtpx/cluster/internal/ledger"
	"dtpx/cluster/internal/port"
)

// Options of a Cluster. Dir and Base are needed. Write-once.
type Options struct {
	Dir string // of the state: group.json, ledger.json, peers.json

	// Group, unless zero, is used instead of that of group.json.
	Group Group
	// Name is what members see beside this node's key, a hint; it may change.
	Name func() string

	Listen     string   // host:port of the peer port; the host may be empty
	Interfaces []string // LAN interfaces; empty is all private ones
	MDNS       bool
	Join       []string // host:port of members
	Advertise  string   // address, with or without port, told to others

	Trust       bool     // trust members although the group was not made as a trusted one
	TrustNodes  []string // or those with these keys, or beginnings of keys
	Borrow      bool
	Credentials func(host string) bool // whose requests with cookies may go through relays; nil is none
	Cap         int64                  // own allowance per day in bytes; 0 is none
	Fair        bool                   // spread bytes by quota left
	Lend        Lend

	// Base models the connections to origins: whom to trust, no proxy.
	Base *http.Transport
	// Spent is what this node's downloads have cost its own link since the start,
	// in bytes. nil is nothing.
	Spent func() int64
	// Busy is how many bytes per second the owner's traffic, which goes before what
	// is lent, has moved over the link since it was asked last. nil is none.
	Busy func() float64
	// Waits reports that a connection of the owner gets no answer, as where the line is
	// full. nil is never.
	Waits func() bool

	// Share answers members that ask for what is cached here; nil shares nothing.
	Share http.Handler
	// ShareVersion is that of the summary that Share gives out; 0 is nothing.
	ShareVersion func() uint64

	Now func() time.Time
	Log *slog.Logger

	// evil, of tests, serves members instead of the relay.
	evil func(ctx context.Context, c *port.Conn)
}

// Lend is what members may use of this machine.
type Lend struct {
	Enabled      bool
	Quota        int64 // bytes per day of all members together; 0 is unlimited
	Hour, Minute int   // when the day begins, local time
	Rate         int64 // bytes/s; 0 is unlimited
	Connections  int
	Ports        []int
	Allow        []netip.Prefix // lent to although not public
}

// Cluster is this node's part in a group, if it is in one. It follows
// group.json while it runs. It is safe for concurrent use.
type Cluster struct {
	o      Options
	ledger *ledger.Ledger
	cancel context.CancelFunc
	done   chan struct{}
	look   chan struct{}
	own    ownMeter

	mu      sync.Mutex // guards what follows
	session *session
	trouble error // why there is no session although there is a group
}

// fileLook is how often group.json is looked at: a join has to be noticed
// within a second or two.
const fileLook = time.Second

// Open reads the state and, where there is a group, joins it. The error says
// that the state cannot be used; trouble with the network is none.
func Open(o Options) (*Cluster, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Spent == nil {
		o.Spent = func() int64 { return 0 }
	}
	if o.Waits == nil {
		o.Waits = func() bool { return false }
	}
	if o.Busy == nil {
		o.Busy = func() float64 { return 0 }
	}
	c := &Cluster{o: o, done: make(chan struct{}), look: make(chan struct{}, 1)}
	var err error
	c.ledger, err = ledger.Open(ledger.Options{
		File:  filepath.Join(o.Dir, "ledger.json"),
		Quota: ledger.Quota{Bytes: o.Lend.Quota, Hour: o.Lend.Hour, Minute: o.Lend.Minute, Zone: time.Local},
		Now:   o.Now, Log: o.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	file, err := loadGroup(o.Dir)
	if err != nil {
		c.ledger.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.apply(file)
	go c.run(ctx)
	return c, nil
}

// Reload looks at group.json now.
func (c *Cluster) Reload() {
	select {
	case c.look <- struct{}{}:
	default:
	}
}

// run follows group.json and keeps the accounts.
func (c *Cluster) run(ctx context.Context) {
	defer close(c.done)
	tick := time.NewTicker(fileLook)
	defer tick.Stop()
	path, last := groupPath(c.o.Dir), stamp{}
	last.read(path)
	complained := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.look:
			last = stamp{}
		}
		c.charge()
		if s := c.current(); s != nil {
			s.tick()
		}
		var now stamp
		if now.read(path); now == last {
			c.retry()
			continue
		}
		file, err := loadGroup(c.o.Dir)
		if err != nil {
			if err.Error() != complained {
				c.o.Log.Error("group.json not reloaded; the group stays as it is", "err", err)
				complained = err.Error()
			}
			continue
		}
		last, complained = now, ""
		c.apply(file)
	}
}

// stamp tells whether a file has changed.
type stamp struct {
	mod  time.Time
	size int64
}

func (s *stamp) read(path string) {
	if i, err := os.Stat(path); err == nil {
		s.mod, s.size = i.ModTime(), i.Size()
	}
}

// apply makes file's membership the one that counts.
func (c *Cluster) apply(file group.File) {
	if file.Exposed {
		c.o.Log.Warn("others could read group.json, which holds the secret; it is closed to them now. If that matters, make a new group", "path", groupPath(c.o.Dir))
	}
	g := file.Group
	if !c.o.Group.IsZero() {
		g = c.o.Group
	}
	old := c.current()
	if old != nil && old.same(g, file.Key) {
		old.block(file.Blocked)
		return
	}
	if old != nil {
		c.set(nil, nil)
		old.close()
		c.o.Log.Info("left group", "group", old.group.Name)
	}
	if g.IsZero() {
		c.set(nil, nil)
		return
	}
	c.begin(g, file)
}

// begin makes a session; where that fails, retry tries again.
func (c *Cluster) begin(g group.Group, file group.File) {
	if file.Key.IsZero() {
		file.Key = group.NewNodeKey()
		if err := file.Save(groupPath(c.o.Dir)); err != nil {
			c.set(nil, fmt.Errorf("keep this node's key: %w", err))
			c.o.Log.Error("not in the group", "err", err)
			return
		}
	}
	s, err := newSession(c, g, file.Key, file.Blocked)
	if err != nil {
		if old := c.why(); old == nil || old.Error() != err.Error() {
			c.o.Log.Error("not in the group; trying again", "group", g.Name, "err", err)
		}
		c.set(nil, err)
		return
	}
	c.set(s, nil)
	c.o.Log.Info("in group", "group", g.Name, "node", file.Key.ID().Short(), "trusted", g.Trusted)
}

// retry makes a session that could not be made before: a port that was in use.
func (c *Cluster) retry() {
	if c.current() != nil || c.why() == nil {
		return
	}
	if file, err := loadGroup(c.o.Dir); err == nil {
		c.apply(file)
	}
}

func (c *Cluster) name() string {
	if c.o.Name == nil {
		return ""
	}
	return c.o.Name()
}

func (c *Cluster) set(s *session, trouble error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session, c.trouble = s, trouble
}

func (c *Cluster) current() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// why is why there is no membership although there is a group.
func (c *Cluster) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trouble
}

// Close leaves the group for now and writes the accounts down.
func (c *Cluster) Close() error {
	c.cancel()
	<-c.done
	if s := c.current(); s != nil {
		c.set(nil, nil)
		s.close()
	}
	c.charge()
	return c.ledger.Close()
}

// loadGroup is the zero File where there is none.
func loadGroup(dir string) (group.File, error) {
	file, err := group.Load(groupPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return group.File{}, nil
	}
	return file, err
}

func groupPath(dir string) string { return filepath.Join(dir, "group.json") }
