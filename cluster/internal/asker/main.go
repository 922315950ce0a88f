// Command asker is a member of a group gone bad, for tests with real processes: it
// has the group's file, and so its secret and a node key, and asks the relay of
// another member for whatever it is told.
//
//	asker [-hold] GROUP.JSON ADDRESS:PORT <targets
//
// Targets come one a line, quoted as Go does it; each is sent as it is, as the
// target of a CONNECT on a stream of its own. The answers go out in the same
// order, a line each: the status, and the reason if there is one. With -hold all
// streams stay open until standard input ends.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"time"

	"dtpx/cluster/internal/group"
)

func main() {
	hold := flag.Bool("hold", false, "keep the streams open")
	flag.Parse()
	if err := run(flag.Arg(0), flag.Arg(1), *hold); err != nil {
		fmt.Fprintln(os.Stderr, "asker:", err)
		os.Exit(1)
	}
}

func run(file, to string, hold bool) error {
	at, err := netip.ParseAddrPort(to)
	if err != nil {
		return err
	}
	member, err := load(file)
	if err != nil {
		return err
	}
	var held []net.Conn // reachable, or the collector would close them
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		target, err := strconv.Unquote(lines.Text())
		if err != nil {
			return fmt.Errorf("read target %s: %w", lines.Text(), err)
		}
		c, said, err := ask(member, at, target)
		if err != nil {
			return fmt.Errorf("ask for %q: %w", target, err)
		}
		if held = append(held, c); !hold {
			c.Close()
		}
		fmt.Println(said)
	}
	return nil
}

func load(file string) (*group.Member, error) {
	f, err := group.Load(file)
	if err != nil {
		return nil, err
	}
	keys, err := f.Group.Keys()
	if err != nil {
		return nil, err
	}
	return group.NewMember(keys, f.Key, time.Now, nil)
}

// ask sends one CONNECT and reads the answer.
func ask(m *group.Member, at netip.AddrPort, target string) (c net.Conn, said string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	d := tls.Dialer{Config: m.ClientConfig(nil, group.Relay)}
	if c, err = d.DialContext(ctx, "tcp", at.String()); err != nil {
		return nil, "", err
	}
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	if _, err = io.WriteString(c, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n\r\n"); err != nil {
		return c, "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return c, "", err
	}
	return c, fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Dtpx-Reason")), nil
}
