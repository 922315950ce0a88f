// Command dtpx is a local HTTP(S) forward proxy that makes large downloads
// faster. This package is the one place where the others are wired together:
// it reads flags, the config file and signals, and nothing else of the program
// does.
//
//	serve   config → engine (range) → transports → proxy.Server → listener
//	get     the same engine without the proxy, or through a running one
//	status  asks a running node
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"
)

// version is set by the release build: -ldflags "-X main.version=1.2.3".
var version = "0.1.0-dev"

// command is one word after dtpx.
type command struct {
	name, args, does string
	run              func(c *cli, args []string) error
}

// cli is what commands talk to.
type cli struct {
	out, err io.Writer
}

// commands is a function because help lists them.
func commands() []command {
	return []command{
		{"serve", "[-config F] [-listen ADDR] [-state DIR]", "run the proxy (also: dtpx alone)", (*cli).serve},
		{"get", "[-o FILE] [-sha256 HEX] [-c] URL…", "download with the same engine", (*cli).get},
		{"status", "[-json]", "what the running node does now", (*cli).status},
		{"peers", "[-json]", "members of the group: who is here, who lent what", (*cli).peers},
		{"group", "new [-trusted]|join CODE|leave|code|block KEY", "machines that lend each other their links", (*cli).group},
		{"ca", "path|show|export [-der]|retry [HOST]", "the local certificate authority", (*cli).ca},
		{"cache", "ls|stat|rm URL|purge|verify [-json]", "the disk cache", (*cli).cache},
		{"config", "check [F]", "check a config file", (*cli).config},
		{"version", "", "print the version", (*cli).version},
		{"help", "", "print this", (*cli).help},
		{"setup", "PROGRAM [-undo]", "", later("setup", "the first lines of dtpx serve say what to set")},
		{"why", "URL", "", later("why", "dtpx status gives the reason of each download")},
	}
}

// usageError is wrong usage: exit status 2.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// later is a command that this version does not have yet.
func later(name, instead string) func(*cli, []string) error {
	return func(*cli, []string) error {
		return fmt.Errorf("%s is not in this version (%s): %s", name, version, instead)
	}
}

func main() {
	// net/http complains about broken servers through package log and quotes
	// what they sent, which may be private.
	log.SetOutput(io.Discard)
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process: exit status 0 done, 1 failed, 2 wrong usage.
func run(args []string, stdout, stderr io.Writer) int {
	c := &cli{out: stdout, err: stderr}
	err := c.dispatch(args)
	var wrong usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "dtpx: %v\n", err)
		return 2
	}
	fmt.Fprintf(stderr, "dtpx: %v\n", err)
	return 1
}

func (c *cli) dispatch(args []string) error {
	if len(args) == 0 {
		return c.serve(nil)
	}
	switch args[0] {
	case "-h", "-help", "--help":
		return c.help(nil)
	case "-version", "--version":
		return c.version(nil)
	}
	if strings.HasPrefix(args[0], "-") {
		return c.serve(args)
	}
	for _, cmd := range commands() {
		if cmd.name == args[0] {
			return cmd.run(c, args[1:])
		}
	}
	return usage("there is no command %q; dtpx help lists them", args[0])
}

// flags returns a flag set that reports mistakes as wrong usage.
func (c *cli) flags(name, args string) *flag.FlagSet {
	f := flag.NewFlagSet("dtpx "+name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {
		fmt.Fprintf(c.out, "usage: dtpx %s %s\n", name, args)
		f.SetOutput(c.out)
		f.PrintDefaults()
		f.SetOutput(io.Discard)
	}
	return f
}

func parse(f *flag.FlagSet, args []string) error {
	usageText := f.Usage
	f.Usage = func() {} // of a mistake, one line is enough
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		usageText()
	}
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return usage("%s: %v; %s -h lists the flags", strings.TrimPrefix(f.Name(), "dtpx "), err, f.Name())
}

// noVerb is wrong usage of a command that has verbs, or help with them: args do
// not begin with one.
func (c *cli) noVerb(name, verbs string, args []string) error {
	if len(args) == 0 {
		return usage("%s wants %s", name, verbs)
	}
	if strings.HasPrefix(args[0], "-") {
		if err := parse(c.flags(name, synopsis(name)), args); err != nil {
			return err
		}
	}
	return usage("%s wants %s, not %q", name, verbs, args[0])
}

func synopsis(name string) string {
	all := commands()
	return all[slices.IndexFunc(all, func(cmd command) bool { return cmd.name == name })].args
}

// parseAll is parse for commands that take flags only.
func parseAll(f *flag.FlagSet, args []string) error {
	if err := parse(f, args); err != nil {
		return err
	}
	return none(f)
}

func none(f *flag.FlagSet) error {
	if f.NArg() == 0 {
		return nil
	}
	return usage("%s takes no %q", strings.TrimPrefix(f.Name(), "dtpx "), f.Arg(0))
}

func (c *cli) version([]string) error {
	fmt.Fprintln(c.out, "dtpx", version)
	return nil
}

func (c *cli) help([]string) error {
	fmt.Fprint(c.out, "dtpx is a local HTTP(S) proxy that makes large downloads faster.\n\n")
	for _, cmd := range commands() {
		if cmd.does != "" {
			fmt.Fprintf(c.out, "  dtpx %-7s %-47s %s\n", cmd.name, cmd.args, cmd.does)
		}
	}
	fmt.Fprint(c.out, "\ndtpx COMMAND -h lists a command's flags. Not in this version yet: setup, why.\n")
	return nil
}
