package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
)

// The bare chain has the TLS layers of a download through a peer and nothing
// else: client ─TLS→ front ─TLS(TLS→ relay → origin)→, bytes copied by io.Copy.
const (
	bareRelayAddr = "10.9.0.2:4000"
	bareFrontAddr = "127.0.0.1:4001"
)

// bareRelay opens a path to the address on the first line.
func bareRelay(string) error {
	return bareListen(bareRelayAddr, func(c net.Conn) {
		r := bufio.NewReader(c)
		to, err := r.ReadString('\n')
		if err != nil {
			return
		}
		o, err := net.Dial("tcp", strings.TrimSpace(to))
		if err != nil {
			return
		}
		defer o.Close()
		go func() { _, _ = io.Copy(o, r) }()
		_, _ = io.Copy(c, o)
	})
}

// bareFront takes a client's TLS and goes to the origin through the relay.
func bareFront(origin string) error {
	return bareListen(bareFrontAddr, func(c net.Conn) {
		peer, err := tls.Dial("tcp", bareRelayAddr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer peer.Close()
		fmt.Fprintln(peer, origin)
		o := tls.Client(peer, &tls.Config{InsecureSkipVerify: true})
		go func() { _, _ = io.Copy(o, c) }()
		_, _ = io.Copy(c, o)
	})
}

func bareListen(addr string, serve func(net.Conn)) error {
	ca, err := testbed.NewCA()
	if err != nil {
		return err
	}
	cert, err := ca.Issue(testbed.CertGood, hostel.Addr1)
	if err != nil {
		return err
	}
	l, err := tls.Listen("tcp", addr, &tls.Config{Certificates: []tls.Certificate{*cert}})
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() { defer c.Close(); serve(c) }()
	}
}

// ceiling: one peer, nothing shaped, and after the first eighth the requester's
// own link is dead. What counts is the rate of the rest.
func (b *bench) ceiling() ([]row, error) {
	h, err := b.house(testbed.Config{NoH2: true}, unlimited, 20, 0)
	if err != nil {
		return nil, err
	}
	defer h.close()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	own := h.Rooms[0]
	for mode, r := range map[string]*hostel.Room{"bare-relay": h.Rooms[1], "bare-front": own} {
		p, err := start(r.Command, self, mode, hostel.Addr1+":443")
		if err != nil {
			return nil, err
		}
		defer p.stop()
	}
	bare := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return own.M.Dial(ctx, network, bareFrontAddr)
	}}
	defer bare.CloseIdleConnections()
	if err := waitFor(func() error { return hostel.Fetch(ctx, bare, h.URL("https", "/1MiB/warm"), nil).Err }); err != nil {
		return nil, err
	}
	ours, err := own.Through()
	if err != nil {
		return nil, err
	}
	defer ours.CloseIdleConnections()
	const size = 1024
	var fast, ideal, relay []float64
	for i := range b.rounds {
		url := h.URL("https", fmt.Sprintf("/%dMiB/ceiling%d", size, i))
		cpu := cpuOf(h.Rooms[1].PID())
		var undo func()
		rate, err := steady(ours, url, size, func() { undo = h.CutWAN(own) })
		undo()
		if err != nil {
			return nil, err
		}
		relay = append(relay, (cpuOf(h.Rooms[1].PID()) - cpu).Seconds())
		fast = append(fast, rate)
		if rate, err = steady(bare, url, size, func() {}); err != nil {
			return nil, err
		}
		ideal = append(ideal, rate)
	}
	note := fmt.Sprintf("%.0f MB/s, bare chain %.0f MB/s; relay %.2f CPU s/GiB", median(fast)/1e6, median(ideal)/1e6, median(relay))
	return []row{{"one peer alone, nothing shaped", "rate / bare io.Copy chain", median(fast) / median(ideal), 0.85, false, note}}, nil
}

// steady is the rate in bytes per second of all but the first quarter; cut is
// called when an eighth has come.
func steady(tr http.RoundTripper, url string, size int64, cut func()) (float64, error) {
	var began time.Time
	var once sync.Once
	d := hostel.Fetch(ctx, tr, url, func(n int64) {
		if n > size*mib/8 {
			once.Do(cut)
		}
		if n > size*mib/4 && began.IsZero() {
			began = time.Now()
		}
	})
	return float64(size*mib*3/4) / time.Since(began).Seconds(), d.Err
}
