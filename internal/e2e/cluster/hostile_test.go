package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
)

// memory is what a room's dtpx has resident.
func (h *house) memory(r *hostel.Room) int64 {
	h.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", r.PID()))
	must(h.t, err)
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	must(h.t, err)
	return pages * int64(os.Getpagesize())
}

// Strangers on the LAN talk to the peer port in every wrong way.
func TestHostileLAN(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, 0, 0, 0)
	for _, r := range h.Rooms {
		r.Env = []string{"GOGC=25"} // the 16 MiB of garbage that a small heap may hold are 100 to the race detector
	}
	h.group(hostel.Lend)
	bob, stranger := h.Rooms[1], h.Rooms[2]
	h.dtpx(stranger, "group", "leave")
	h.sees(bob, 1)
	at := bob.LAN.Addr() + ":3129"
	before, said := h.memory(bob), len(bob.Log.String())
	dialTo := func(network, to string) net.Conn {
		c, err := stranger.M.Dial(t.Context(), network, to)
		must(t, err)
		return c
	}
	dial := func(network string) net.Conn { return dialTo(network, at) }

	// A browser is told what this is.
	c := dial("tcp")
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+at+"\r\n\r\n")
	must(t, err)
	b, err := io.ReadAll(c)
	if c.Close(); !strings.HasPrefix(string(b), "HTTP/1.0 400 ") || !strings.Contains(string(b), "peer port of dtpx") {
		t.Errorf("plain HTTP is answered %q, %v", b, err)
	}
	// Noise, and what begins as TLS does.
	for i := range 200 {
		c, noise := dial("tcp"), make([]byte, 1+i*40)
		_, _ = rand.Read(noise)
		if i%2 == 1 {
			copy(noise, []byte{22, 3, 1, 0x40, 0})
		}
		_, _ = c.Write(noise)
		c.Close()
	}
	// Those who connect and say nothing.
	for range 300 {
		defer dial("tcp").Close()
	}
	// Packets that are nobody's.
	u := dial("udp")
	defer u.Close()
	packet := make([]byte, 1400)
	for i := range 20000 {
		_, _ = rand.Read(packet[:64])
		_, _ = u.Write(packet[:1+i%len(packet)])
	}

	m := dialTo("udp", "224.0.0.251:5353")
	defer m.Close()
	for i := range 20000 {
		_, _ = m.Write(forged(t, i))
	}

	h.fetch(h.Rooms[0], h.URL("https", "/16MiB/meanwhile"), nil)
	if h.here(bob) != 1 || h.here(h.Rooms[0]) != 1 {
		t.Error("members have lost each other")
	}
	grown := h.memory(bob) - before
	t.Logf("memory %d + %d MiB, log %d bytes", before/mib, grown/mib, len(bob.Log.String())-said)
	if grown > 96*mib {
		t.Errorf("memory grew by %d MiB", grown/mib)
	}
	if n := len(bob.Log.String()) - said; n > 8<<10 {
		t.Errorf("wrote %d bytes of log:\n%s", n, bob.Log.String()[said:])
	}
	if !strings.Contains(bob.Log.String(), "not TLS") {
		t.Error("the log does not say that somebody talks no TLS")
	}
	// The door opens again for members when those who say nothing are gone.
	code := strings.TrimSpace(h.dtpx(h.Rooms[0], "group", "code"))
	h.dtpx(stranger, "group", "join", code)
	h.all(3*findTime, "one who joins is let in", 2, h.Rooms...)
}

// forged is an answer of multicast DNS that advertises what is not there; some
// are far too large.
func forged(t *testing.T, i int) []byte {
	t.Helper()
	const service = "_dtpx._tcp.local."
	instance := fmt.Sprintf("x%d.%s", i, service)
	head := func(name string, rr uint16) dns.RR_Header {
		return dns.RR_Header{Name: name, Rrtype: rr, Class: dns.ClassINET, Ttl: 120}
	}
	txt := []string{"v=1", fmt.Sprintf("tag=%032x", i), "port=3129", fmt.Sprintf("a=10.9.%d.%d", i>>8&255, i&255)}
	if i%100 == 0 {
		for range 150 {
			txt = append(txt, strings.Repeat("x", 250))
		}
	}
	m := &dns.Msg{Answer: []dns.RR{
		&dns.PTR{Hdr: head(service, dns.TypePTR), Ptr: instance},
		&dns.SRV{Hdr: head(instance, dns.TypeSRV), Port: 3129, Target: "x.local."},
		&dns.TXT{Hdr: head(instance, dns.TypeTXT), Txt: txt},
		&dns.A{Hdr: head("x.local.", dns.TypeA), A: net.IPv4(10, 9, byte(i>>8), byte(i))},
	}}
	m.Response, m.Authoritative = true, true
	b, err := m.Pack()
	must(t, err)
	return b
}

// Codes as people mistype them.
func TestMalformedCodes(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, 0)
	r := h.Rooms[0]
	code := h.code()
	h.dtpx(r, "group", "leave")
	swapped := []byte(code)
	swapped[12], swapped[13] = swapped[13], swapped[12]
	if string(swapped) == code {
		swapped[12] = "0Z"[b2i(swapped[12] == '0')]
	}
	for name, bad := range map[string]string{
		"empty": "", "blank": "  ", "one character": code[:1], "cut": code[:len(code)-6], "half": code[:len(code)/2],
		"two swapped": string(swapped), "longer": code + "-00000", "twice": code + code, "an O for a zero is fine, a U is not": "U" + code[1:],
		"a URL": "https://example.com/join", "not UTF-8": "\xff\xfe" + code[2:], "very long": strings.Repeat("0", 100<<10),
	} {
		said := h.fails(r, "group", "join", bad)
		t.Logf("%-36s %s", name, said)
		if len(said) > 300 || !strings.Contains(said, "join code") {
			t.Errorf("%s: says %q", name, said)
		}
		for _, part := range strings.Split(code, "-") {
			if len(part) == 5 && strings.Contains(said, part) {
				t.Errorf("%s: shows a part of the code: %s", name, said)
			}
		}
	}
	if out, err := r.Dtpx(context.Background(), "group", "code"); err == nil {
		t.Errorf("in a group after all: %s", out)
	}
	// As chats and people change it without harm.
	h.dtpx(r, "group", "join", strings.ToLower(strings.ReplaceAll(code, "-", " ")))
	if got := strings.TrimSpace(h.dtpx(r, "group", "code")); got != code {
		t.Error("another code came out")
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
