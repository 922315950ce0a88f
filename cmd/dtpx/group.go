package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"dtpx/cluster"
	"dtpx/cmd/dtpx/internal/config"
)

// group makes, joins and leaves a group of machines that lend each other their
// links. It writes group.json; a running node notices within a second.
func (c *cli) group(args []string) error {
	takes := map[string]string{"new": "[-trusted] [-name NAME] ", "join": "CODE ", "leave": "", "code": "", "block": "[-undo] KEY "}
	if len(args) == 0 || !slices.Contains(slices.Collect(maps.Keys(takes)), args[0]) {
		return c.noVerb("group", "new, join CODE, leave, code or block KEY", args)
	}
	verb := args[0]
	fl := c.flags("group "+verb, takes[verb]+"[-state DIR] [-config F]")
	state := fl.String("state", "", "`DIR` of the state")
	file := fl.String("config", "", "config `FILE` of the node, to say what it lends")
	trusted, name, undo := new(bool), new(string), new(bool)
	switch verb {
	case "new":
		trusted = fl.Bool("trusted", false, "members' caches count without an origin's digest: people from whom you would take a USB stick")
		name = fl.String("name", "home", "`NAME` of the group")
	case "block":
		undo = fl.Bool("undo", false, "let the node in again")
	}
	if err := parse(fl, args[1:]); err != nil {
		return err
	}
	if err := groupArgs(verb, fl); err != nil {
		return err
	}
	dir, err := stateDir(*state)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make state directory: %w; choose another with -state", err)
	}
	g := groupCommand{c, dir, *file}
	switch verb {
	case "new":
		return g.create(*name, *trusted)
	case "join":
		return g.join(strings.Join(fl.Args(), " ")) // blanks do not matter in codes
	case "leave":
		return g.leave()
	case "code":
		return g.code()
	}
	return g.block(fl.Arg(0), *undo)
}

func groupArgs(verb string, fl *flag.FlagSet) error {
	switch {
	case verb == "join" && fl.NArg() == 0:
		return usage("group join wants a CODE: dtpx group code on a member shows it")
	case verb == "join" || verb == "block" && fl.NArg() == 1:
		return nil
	case verb == "block":
		return usage("group block wants one KEY: dtpx peers shows those of the members")
	}
	return none(fl)
}

type groupCommand struct {
	*cli
	dir, config string
}

func (g groupCommand) create(name string, trusted bool) error {
	old, err := cluster.ReadGroup(g.dir)
	if err != nil {
		return err
	}
	if !old.Group.IsZero() {
		return fmt.Errorf("this machine is in group %q; leave it first: dtpx group leave", old.Group.Name)
	}
	group, err := cluster.NewGroup(name, trusted)
	if err != nil {
		return err
	}
	code, err := group.Code()
	if err != nil {
		return err
	}
	file, err := cluster.EnterGroup(g.dir, group)
	if err != nil {
		return err
	}
	fmt.Fprintf(g.out, "made group %q. On the other machines, type:\n\n  dtpx group join %s\n\nWho has this code is a member: give it to nobody else. dtpx group code shows it again.\n", group.Name, code)
	g.explain(file)
	return nil
}

func (g groupCommand) join(code string) error {
	group, err := cluster.ParseCode(code)
	if err != nil {
		return err
	}
	old, err := cluster.ReadGroup(g.dir)
	if err != nil {
		return err
	}
	file, err := cluster.EnterGroup(g.dir, group)
	if err != nil {
		return err
	}
	if !old.Group.IsZero() && !old.Group.Secret.Equal(group.Secret) {
		fmt.Fprintf(g.out, "left group %q. ", old.Group.Name)
	}
	fmt.Fprintf(g.out, "joined group %q.\n", group.Name)
	g.explain(file)
	return nil
}

// explain says what follows from being in a group.
func (g groupCommand) explain(file cluster.File) {
	cfg, from := g.settings()
	settings, lend := cfg.Cluster, cfg.Cluster.Lend
	if settings.Group != "" {
		fmt.Fprintf(g.out, "\n%s names group %q, which goes before this one: take cluster.group out of it.\n", from, settings.Group)
	}
	switch {
	case !lend.Enabled:
		fmt.Fprintf(g.out, "\nThis machine lends nothing (cluster.lend.enabled: false in %s).\n", from)
	default:
		quota := "any number of bytes"
		if lend.Quota > 0 {
			quota = bytes(int64(lend.Quota)) + " a day (from " + lend.Reset + ")"
		}
		rate := ""
		if lend.Rate > 0 {
			rate = ", at most " + bytes(int64(lend.Rate)) + "/s"
		}
		fmt.Fprintf(g.out, "\nThis machine lends its members %s of its internet link%s, to ports %s of public\naddresses, %d connections at most. Its own traffic goes first. It sees addresses and numbers of\nbytes, never what they fetch. Change that under cluster.lend in the config file (now: %s).\n",
			quota, rate, strings.Trim(fmt.Sprint(lend.Ports), "[]"), lend.Connections, from)
	}
	if cfg.Cache.Enabled && cfg.Cache.Share {
		fmt.Fprintln(g.out, "Members may also have what it has cached of public content (cache.share), and find out whether it\nholds a URL that they know.")
	}
	if file.Group.Trusted {
		fmt.Fprintln(g.out, "The group is a trusted one: what members have cached counts as if the origin had sent it.")
	}
	fmt.Fprintf(g.out, "\nThis node's key: %s\n", file.Key.ID())
	r, err := findNode(g.dir)
	if err != nil {
		fmt.Fprintln(g.out, "dtpx is not running here; it takes part from its next start on.")
		return
	}
	fmt.Fprintf(g.out, "The running dtpx (%s) notices within a second; dtpx peers shows who is there.\n", r.addr)
}

// settings are those of the running node, or what it will have by the config;
// from says in words where they stand.
func (g groupCommand) settings() (c config.Config, from string) {
	path := g.config
	if path == "" {
		if r, err := findNode(g.dir); err == nil {
			var s status
			if r.read("/api/v1/status", &s) == nil {
				path = s.Config
			}
		}
	}
	if path == "" {
		return config.Default(), "the defaults"
	}
	cfg, err := config.Load(path)
	if err != nil {
		return config.Default(), "the defaults: " + path + " has mistakes"
	}
	return cfg, path
}

func (g groupCommand) leave() error {
	file, err := cluster.LeaveGroup(g.dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(g.out, "left group %q. ", file.Group.Name)
	if cfg, from := g.settings(); cfg.Cluster.Group != "" {
		fmt.Fprintf(g.out, "%s names group %q, in which this machine stays: take cluster.group out of it to leave that too.\n", from, cfg.Cluster.Group)
		return nil
	}
	fmt.Fprintln(g.out, "Nothing listens for members, and nothing is lent any more.")
	return nil
}

func (g groupCommand) code() error {
	file, err := cluster.ReadGroup(g.dir)
	if err != nil {
		return err
	}
	if file.Group.IsZero() {
		return errors.New("in no group; dtpx group new makes one")
	}
	code, err := file.Group.Code()
	if err != nil {
		return err
	}
	fmt.Fprintln(g.out, code)
	return nil
}

func (g groupCommand) block(text string, undo bool) error {
	id, err := g.node(text)
	if err != nil {
		return err
	}
	if err := cluster.BlockNode(g.dir, id, undo); err != nil {
		return err
	}
	if undo {
		fmt.Fprintf(g.out, "%s may come in again.\n", id)
		return nil
	}
	fmt.Fprintf(g.out, "blocked %s on this machine. Whoever runs it has the code still and can make another key:\nto be rid of a person, make a new group.\n", id)
	return nil
}

// node reads a key in full, or the beginning of one that dtpx peers shows.
func (g groupCommand) node(text string) (cluster.NodeID, error) {
	id, err := cluster.ParseNodeID(text)
	if err == nil {
		return id, nil
	}
	var found []cluster.NodeID
	if r, e := findNode(g.dir); e == nil {
		var info cluster.Info
		if e := r.read("/api/v1/peers", &info); e != nil {
			return id, e
		}
		for _, p := range info.Members {
			if strings.EqualFold(p.Node.Short(), text) || p.Name == text {
				found = append(found, p.Node)
			}
		}
	}
	switch len(found) {
	case 0:
		return id, fmt.Errorf("no member that is known here is called %q, and as a key: %w; dtpx peers shows names and keys", text, err)
	case 1:
		return found[0], nil
	}
	return id, fmt.Errorf("%d members are called %q; give the key", len(found), text)
}

// peers lists the members of the group.
func (c *cli) peers(args []string) error {
	fl := c.flags("peers", "[-json] [-state DIR]")
	asJSON := fl.Bool("json", false, "print what the API answers")
	state := fl.String("state", "", "`DIR` of the node's state")
	if err := parseAll(fl, args); err != nil {
		return err
	}
	r, err := findNode(*state)
	if err != nil {
		return err
	}
	if *asJSON {
		b, err := r.raw("/api/v1/peers")
		if err != nil {
			return err
		}
		_, err = c.out.Write(b)
		return err
	}
	var info cluster.Info
	if err := r.read("/api/v1/peers", &info); err != nil {
		return err
	}
	c.printPeers(info)
	return nil
}

// shownDays is how many days peers lists; the API has a month.
const shownDays = 7

func (c *cli) printPeers(i cluster.Info) {
	if i.Trouble != "" {
		c.printTrouble(i)
		return
	}
	if i.Self == nil {
		fmt.Fprintln(c.out, "in no group: dtpx group new makes one, dtpx group join CODE joins one")
		return
	}
	s := i.Self
	fmt.Fprintf(c.out, "group %q, this node is %s %s", i.Group, s.Name, s.Node.Short())
	for _, a := range s.Addresses {
		fmt.Fprintf(c.out, " %s", a)
	}
	fmt.Fprintln(c.out)
	c.printSpending(s)
	if len(i.Members) == 0 {
		fmt.Fprintln(c.out, "\nno other member is here yet")
	} else {
		fmt.Fprintf(c.out, "\n%-20s %-9s %-8s %12s %12s %12s  %s\n", "member", "key", "state", "rate", "lent", "borrowed", "lends")
	}
	for _, p := range i.Members {
		fmt.Fprintf(c.out, "%-20s %-9s %-8s %10s/s %12s %12s  %s\n", p.Name, p.Node.Short(), p.State, bytes(int64(p.Rate)), bytes(p.LentToday), bytes(p.BorrowedToday), lends(p.Lends, p.Quota, p.Left))
		if p.Trouble != "" {
			fmt.Fprintf(c.out, "  %s\n", p.Trouble)
		}
		if p.Last && p.Lent > 0 { // of new ones it goes without saying
			fmt.Fprintln(c.out, "  is served after the others: it borrows far more than it lends")
		}
	}
	if len(i.Days) > 1 {
		fmt.Fprintf(c.out, "\n%-20s %12s %12s %12s\n", "day", "lent", "borrowed", "own link")
		for _, d := range i.Days[:min(len(i.Days), shownDays)] {
			fmt.Fprintf(c.out, "%-20s %12s %12s %12s\n", d.Day, bytes(d.Lent), bytes(d.Borrowed), bytes(d.Own))
		}
	}
	if i.Note != "" {
		fmt.Fprintf(c.out, "\n%s\n", i.Note)
	}
	for _, r := range i.Refused {
		fmt.Fprintf(c.out, "\nrefused %d times, last %s from %s: %s\n", r.Times, r.Last.Format(time.DateTime), r.From, r.Reason)
	}
}

func (c *cli) printTrouble(i cluster.Info) {
	fmt.Fprintf(c.out, "not in group %q: %s\n", i.Group, i.Trouble)
}

// printSpending says what there is to lend, and what today has cost whom.
func (c *cli) printSpending(s *cluster.Self) {
	if s != nil {
		fmt.Fprintf(c.out, "lends %s; today lent %s, borrowed %s, own link %s%s\n", lends(s.Lends, s.Quota, s.Left), bytes(s.Lent), bytes(s.Borrowed), bytes(s.Own), capOf(s.Cap))
	}
}

func capOf(n int64) string {
	if n == 0 {
		return ""
	}
	return " of " + bytes(n)
}

func lends(yes bool, quota, left int64) string {
	switch {
	case !yes:
		return "nothing"
	case left < 0:
		return "without limit"
	case quota > 0:
		return bytes(left) + " of " + bytes(quota) + " left"
	}
	return bytes(left) + " left"
}
