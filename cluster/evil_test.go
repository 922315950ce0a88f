package cluster

import (
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	ranges "dtpx/range"

	"dtpx/cluster/internal/port"
	"dtpx/internal/testbed"
)

func target(raw string, credentials bool) ranges.Target {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err)
	}
	return ranges.Target{URL: u, Credentials: credentials}
}

const ok = "HTTP/1.1 200 OK\r\n\r\n"

// accept reads the request and says yes.
func accept(c net.Conn) {
	buf := make([]byte, 4<<10)
	_, _ = c.Read(buf)
	_, _ = io.WriteString(c, ok)
}

// through copies between the member and the origin, changing what comes back.
func through(c net.Conn, origin string, change func([]byte)) {
	accept(c)
	o, err := net.Dial("tcp", origin)
	if err != nil {
		return
	}
	defer o.Close()
	go func() { _, _ = io.Copy(o, c); o.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := o.Read(buf)
		change(buf[:n])
		if _, werr := c.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// Whatever a member does, the bytes are right and the download goes on.
func TestEvilMember(t *testing.T) {
	t.Parallel()
	o := slow
	o.Hosts = []string{"other.test"}
	ca, err := testbed.NewCA()
	must(t, err)
	forged, err := ca.Issue(testbed.CertGood, "127.0.0.1")
	must(t, err)
	for name, evil := range map[string]func(c net.Conn, origin string){
		"its own certificate": func(c net.Conn, _ string) {
			accept(c)
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*forged}})
			_, _ = io.WriteString(s, "HTTP/1.1 206 Partial Content\r\n\r\n")
			discard(s)
		},
		"flips bytes": func(c net.Conn, origin string) {
			through(c, origin, func(b []byte) {
				if len(b) > 100 {
					b[rand.IntN(len(b))] ^= 1
				}
			})
		},
		"endless data": func(c net.Conn, _ string) {
			accept(c)
			for {
				if _, err := c.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		},
		"endless head": func(c net.Conn, _ string) {
			for {
				if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<10)); err != nil {
					return
				}
			}
		},
		"another host": func(c net.Conn, origin string) {
			accept(c)
			other, err := ca.Issue(testbed.CertGood, "other.test")
			if err != nil {
				return
			}
			discard(tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*other}}))
		},
		"holds connections open": func(c net.Conn, _ string) { discard(c) },
		"says yes and nothing":   func(c net.Conn, _ string) { accept(c); discard(c) },
		"garbage":                func(c net.Conn, _ string) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH\r\n") },
		"resets": func(c net.Conn, _ string) {
			accept(c)
			_ = c.(*port.Conn).NetConn().(*net.TCPConn).SetLinger(0)
			c.(*port.Conn).NetConn().Close()
		},
		"quota that it said it had": func(c net.Conn, _ string) {
			_, _ = c.Read(make([]byte, 4<<10))
			_, _ = io.WriteString(c, "HTTP/1.1 503 no\r\nDtpx-Reason: quota\r\nContent-Length: 0\r\n\r\n")
		},
		"overloaded": func(c net.Conn, _ string) {
			_, _ = c.Read(make([]byte, 4<<10))
			_, _ = io.WriteString(c, "HTTP/1.1 429 no\r\nDtpx-Reason: connections\r\nRetry-After: 99999999\r\nContent-Length: 0\r\n\r\n")
		},
		"data behind the answer": func(c net.Conn, _ string) {
			_, _ = c.Read(make([]byte, 4<<10))
			_, _ = io.WriteString(c, ok+"and more")
			discard(c)
		},
		"slow": func(c net.Conn, origin string) {
			through(c, origin, func(b []byte) {
				select {
				case <-time.After(time.Duration(len(b)) * time.Second / (64 << 10)):
				case <-t.Context().Done():
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, o)
			a := r.join(nil)
			origin := strings.TrimPrefix(r.origin.HTTPS, "https://")
			r.join(func(o *Options) {
				o.evil = func(_ context.Context, c *port.Conn) {
					defer c.Close()
					evil(c, origin)
				}
			})
			r.join(nil)
			r.together()
			d := r.get(a, r.url("/24MiB/a"))
			for _, s := range d.Sources {
				t.Logf("%-8s %-14s %9d bytes, %d wasted, %s %s", s.Kind, s.Name, s.Bytes, s.Wasted, s.State, s.Error)
			}
			if n := brought(d, ranges.KindPeer); n < 4*mib {
				t.Errorf("the honest one brought %d bytes", n)
			}
			costsLittle(t, d, r.nodes[1])
		})
	}
}

// costsLittle holds a download to what a bad member may cost it: what it was given,
// which others then bring once more, the usual waste, and no long wait. A source begins
// with a slice of 256 KiB; its requests say how often.
func costsLittle(t *testing.T, d ranges.Info, evil *node) {
	t.Helper()
	held := int64(256 << 10)
	for _, s := range d.Sources {
		if strings.HasSuffix(s.Name, evil.id().Short()) {
			held += s.Wasted + int64(s.Requests)*256<<10
		}
	}
	if most := d.Size*3/200 + held; d.Duplicate > most {
		t.Errorf("%d bytes came for nothing, %d would do", d.Duplicate, most)
	}
	// It is 0.1 s, and up to 0.6 s on two busy cores under the race detector.
	if d.StallMS > 2000 {
		t.Errorf("the reader waited for %d ms", d.StallMS)
	}
}
