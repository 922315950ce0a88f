package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"dtpx/internal/testbed/hostel"
)

// spellings are ways to write an IPv4 address that some resolver, library or
// network understands, none of which a relay may follow.
func spellings(ip string) (all []string) {
	a := netip.MustParseAddr(ip).As4()
	n := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	hex := fmt.Sprintf("%02x%02x:%02x%02x", a[0], a[1], a[2], a[3])
	var percent, wide, clothed strings.Builder
	for _, c := range ip {
		fmt.Fprintf(&percent, "%%%02x", c)
		if c == '.' {
			clothed.WriteRune('。')
			wide.WriteRune(c)
		} else {
			clothed.WriteRune(c)
			wide.WriteRune(c - '0' + '０')
		}
	}
	all = []string{
		ip, ip + ".", ip + "..", "." + ip, ip + "%00", ip + "%lo", ip + "\x00", " " + ip, ip + "\t", percent.String(), wide.String(), clothed.String(),
		fmt.Sprint(n), fmt.Sprintf("%d.", n), fmt.Sprintf("0x%x", n), fmt.Sprintf("0X%08X", n), fmt.Sprintf("0%o", n), fmt.Sprintf("00000000%o", n),
		fmt.Sprint(uint64(n) + 1<<32), // wraps around in 32 bits
		fmt.Sprintf("%d.%d", a[0], n&0xffffff), fmt.Sprintf("%d.%d.%d", a[0], a[1], n&0xffff),
		fmt.Sprintf("0x%x.0x%x.0x%x.0x%x", a[0], a[1], a[2], a[3]), fmt.Sprintf("0%o.0%o.0%o.0%o", a[0], a[1], a[2], a[3]),
		fmt.Sprintf("%03d.%03d.%03d.%03d", a[0], a[1], a[2], a[3]), fmt.Sprintf("0x%x.%d", a[0], n&0xffffff),
		"user@" + ip, hostel.Addr1 + "@" + ip, hostel.Addr1 + "#@" + ip, "http://" + ip, ip + "/", ip + "\\", "[" + ip + "]",
		"[::ffff:" + ip + "]", "[::ffff:" + hex + "]", "[0:0:0:0:0:ffff:" + hex + "]", "[::FFFF:" + ip + "]", "[::ffff:0:" + ip + "]",
		"[::" + ip + "]", "[64:ff9b::" + ip + "]", "[64:ff9b::" + hex + "]", "[64:ff9b:1::" + ip + "]",
		"[2002:" + hex + "::1]", "[2001:0:" + hex + "::1]", fmt.Sprintf("[2001::%x:%x]", ^n>>16, ^n&0xffff),
		"[::ffff:" + ip + "%lo]", "[::ffff:" + ip + "%25lo]", "::ffff:" + ip,
	}
	return all
}

// forbidden are targets that are no member's business: the lender's house, itself,
// its provider, and ports that are not lent.
func (h *house) forbidden(lender *hostel.Room) (all []string) {
	for _, ip := range []string{"127.0.0.1", "0.0.0.0", "169.254.169.254", h.Rooms[0].LAN.Addr(), lender.WAN.A.Addr(), lender.WAN.B.Addr()} {
		for _, s := range spellings(ip) {
			all = append(all, s+":80")
		}
		all = append(all, ip+":443", ip+":3128", ip+":3129")
	}
	for _, s := range []string{
		"[::]", "[::1]", "[::%lo]", "[::1%lo]", "[::1%25lo]", "[0:0:0:0:0:0:0:1]", "[fe80::1]", "[fe80::1%" + lender.LAN.Dev + "]", "[ff02::1%" + lender.LAN.Dev + "]",
		"[ff02::1]", "[fc00::1]", "[fd00::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "[fec0::1]", "[2001:db8::1]", "[::1", "::1]", "[]", "", "[::1]x",
		"100.64.0.1", "192.168.1.1", "172.16.0.1", "198.18.0.1", "224.0.0.251", "255.255.255.255", lender.LAN.Addr(),
		"127.255.255.254", "10.255.255.255", "172.31.255.255", "100.127.255.255", "100.100.100.200", "168.63.129.16", "192.0.0.192", "169.254.170.2", "240.0.0.1", "192.0.2.1",
		"localhost", "LOCALHOST", "lender.test", "inside.test", "gate.test", "metadata.test", "mapped.test", "zero.test", "wan.test",
	} {
		all = append(all, s+":80", s+":443")
	}
	for _, port := range []string{"22", "25", "53", "445", "3128", "3129", "8080", "0", "00080", "+80", "-80", "65616", "4294967376", "0x50", "http", "", " 80", "80 ", "80/"} {
		all = append(all, hostel.Addr1+":"+port)
	}
	return append(all, "", ":", "*", "/", hostel.Addr1, "http://"+hostel.Addr1+":80/", hostel.Addr1+":80 HTTP/1.1\r\nHost: 127.0.0.1:80\r\nX: ")
}

// asks runs asker in a room, against a lender, and returns what it was told.
func (h *house) asks(r, lender *hostel.Room, targets []string) []string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	cmd := r.Command(ctx, asker, r.State("group.json"), lender.LAN.Addr()+":3129")
	var quoted strings.Builder
	for _, t := range targets {
		quoted.WriteString(strconv.QuoteToASCII(t) + "\n")
	}
	cmd.Stdin = strings.NewReader(quoted.String())
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("asker: %v: %s", err, &said)
	}
	answers := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(answers) != len(targets) {
		h.t.Fatalf("%d answers to %d questions: %s", len(answers), len(targets), &said)
	}
	return answers
}

// doors listen on the ports that are lent, at all addresses of a machine, and count
// who comes in.
func (h *house) doors(r *hostel.Room, count *atomic.Int64) {
	h.t.Helper()
	for _, at := range []string{":80", ":443"} {
		ln, err := r.M.Listen("tcp", at)
		must(h.t, err)
		h.t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if count.Add(1); err == nil {
					c.Close()
				}
			}
		}()
	}
}

// A member that has the code asks a lender for everything that is not lent and
// takes as many tunnels as it gets, while another one borrows through the same
// lender.
func TestEvilAsker(t *testing.T) {
	t.Parallel()
	h := build(t, hostel.Config{
		Links: []int64{mbps(4), mbps(4), mbps(1)},
		Hosts: map[string][]string{
			"lender.test": {"44.1.2.2"}, "wan.test": {"44.1.2.1"}, "inside.test": {"10.9.0.1"}, "gate.test": {"192.168.1.1"},
			"metadata.test": {"169.254.169.254"}, "mapped.test": {"::ffff:10.9.0.1"}, "zero.test": {"0.0.0.0"},
			"origin.test": {hostel.Addr1}, "both.test": {"127.0.0.1", "10.9.0.1"},
		},
	})
	h.group(hostel.Lend)
	alice, bob, evil := h.Rooms[0], h.Rooms[1], h.Rooms[2]
	var inside atomic.Int64
	h.doors(alice, &inside)
	h.doors(bob, &inside)

	t.Run("everything that is not lent", func(t *testing.T) {
		h := h.sub(t)
		targets := append(h.forbidden(bob), "both.test:80")
		if len(targets) < 200 {
			t.Fatalf("%d targets", len(targets))
		}
		const lent = 2 // that the others are refused says nothing if all are
		targets = append(targets, hostel.Addr1+":443", "origin.test:80")
		var wg sync.WaitGroup
		defer wg.Wait()
		var answers []string
		var once sync.Once
		h.borrows(alice, bob, "asked", func() {
			once.Do(func() { wg.Go(func() { answers = h.asks(evil, bob, targets) }) })
		}, wg.Wait)
		count := map[string]int{}
		for i, a := range answers {
			count[a]++
			status, _, _ := strings.Cut(a, " ")
			if ok := i >= len(targets)-lent; ok != (status == "200") || !ok && status != "403" && status != "400" {
				t.Errorf("%q is answered %s", targets[i], a)
			}
		}
		t.Logf("%d targets: %v", len(targets), count)
		if n := inside.Load(); n > 0 {
			t.Errorf("%d connections came where nobody may come", n)
		}
	})
	t.Run("all tunnels that it gets", func(t *testing.T) {
		h := h.sub(t)
		cmd := evil.Command(t.Context(), asker, "-hold", evil.State("group.json"), bob.LAN.Addr()+":3129")
		in, err := cmd.StdinPipe()
		must(t, err)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		defer func() { in.Close(); _ = cmd.Wait() }()
		const tunnels = 40 // of 32
		_, err = io.WriteString(in, strings.Repeat(strconv.Quote(hostel.Addr1+":443")+"\n", tunnels))
		must(t, err)
		got, lines := 0, bufio.NewScanner(out)
		for range tunnels {
			if lines.Scan(); strings.HasPrefix(lines.Text(), "200 ") {
				got++
			} else if lines.Text() != "429 connections" {
				t.Errorf("is told %q", lines.Text())
			}
		}
		if got == 0 || got > tunnels/2 {
			t.Errorf("holds %d tunnels", got)
		}
		t.Logf("holds %d tunnels", got)
		h.borrows(alice, bob, "crowded", nil, nil)
	})
}

// borrows downloads in one room while something is done, and again until that is
// over; the lender must bring a part of each.
func (h *house) borrows(r, lender *hostel.Room, name string, begin, wait func()) {
	h.t.Helper()
	const size = 40
	url := h.URL("https", fmt.Sprintf("/%dMiB/%s", size, name))
	h.fetch(r, url, func(int64) {
		if begin != nil {
			begin()
		}
	})
	if wait != nil {
		wait()
	}
	i := h.download(r)
	n := h.source(r, lender.Name).Bytes
	if h.t.Logf("%v", bySource(i)); n < size*mib/4 {
		h.t.Errorf("%s brought %d bytes: %+v", lender.Name, n, i.Sources)
	}
}
