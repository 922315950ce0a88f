package ranges_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dtpx/internal/testbed"
	ranges "dtpx/range"
)

// Far away requests follow one another on one connection, so that the links
// are never silent between two slices.
func TestFarPeersAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ps := groupAt(t, 60*time.Millisecond, nil, mib, mib, mib, mib)
		url := testbed.URL(m.origin.HTTPS, "64MiB/f")
		began := time.Now()
		m.whole(url, m.get(url))
		// 16 s; a peer's first byte comes after seven round trips, the own line's after three.
		within(t, "64 MiB over 4 links of 1 MiB/s, 120 ms", began, 17200*time.Millisecond)
		for _, p := range ps {
			if s := m.source(p.name); s.Bytes < 15*mib || s.Requests < 8 || p.dials.Load() > 1 {
				t.Errorf("%+v, %d dials", s, p.dials.Load())
			}
		}
	})
}

// What happens to one peer of four, far away, costs little and nobody's bytes:
// neither the request that is being answered nor the one that follows it.
func TestFarPeerFails(t *testing.T) {
	for what, happen := range map[string]func(*peer){
		"killed": func(p *peer) { p.link.Cut() },
		"silent": func(p *peer) { p.link.Freeze() },
		"slow":   func(p *peer) { p.link.Set(testbed.Shape{Delay: 60 * time.Millisecond, Down: 20 << 10}) },
	} {
		synctest.Test(t, func(t *testing.T) {
			m, ps := groupAt(t, 60*time.Millisecond, nil, mib, mib, mib, mib)
			time.AfterFunc(8*time.Second, func() { happen(ps[0]) })
			url := testbed.URL(m.origin.HTTPS, "64MiB/f")
			began := time.Now()
			m.whole(url, m.get(url))
			// 30 MiB in 8 s by four, 34 MiB by three: 19.4 s.
			within(t, what, began, 21*time.Second)
			t.Logf("%s: waited %d ms, %d twice", what, m.last().StallMS, m.last().Duplicate)
			if d := m.last(); d.StallMS > 1500 {
				t.Errorf("%s: waited %d ms", what, d.StallMS)
			}
			ps[0].link.Thaw()
		})
	}
}

// balker is an origin that answers requests as they should be, one by one, and
// does something else with one that has come before the answer ahead was sent.
type balker struct {
	content testbed.Content
	misdeed func(w net.Conn) (goOn bool)
	tempted atomic.Int32
	wg      sync.WaitGroup
}

func (b *balker) serve(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		b.wg.Go(func() { b.converse(c) })
	}
}

func (b *balker) converse(c net.Conn) {
	defer c.Close()
	asked := make(chan *http.Request, 4)
	b.wg.Go(func() {
		defer close(asked)
		for r := bufio.NewReader(c); ; {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			asked <- req
		}
	})
	early := false
	for req := range asked {
		if early && !b.misdeed(c) {
			return
		}
		if b.answer(c, req) != nil {
			return
		}
		if early = len(asked) > 0; early {
			b.tempted.Add(1)
		}
	}
}

// answer writes slowly enough for requests to come meanwhile.
func (b *balker) answer(c net.Conn, req *http.Request) error {
	r, status := ranges.Range{Start: 0, End: b.content.Size}, "200 OK"
	field := ""
	if kind, asked, _ := ranges.ParseRange(req.Header.Values("Range")); kind == ranges.RangeOne {
		r, status = asked, "206 Partial Content"
		field = fmt.Sprintf("Content-Range: bytes %d-%d/%d\r\n", r.Start, r.End-1, b.content.Size)
	}
	if _, err := fmt.Fprintf(c, "HTTP/1.1 %s\r\nETag: \"1\"\r\n%sContent-Length: %d\r\n\r\n", status, field, r.Len()); err != nil {
		return err
	}
	buf := make([]byte, 32<<10)
	for r.Start < r.End {
		p := buf[:min(r.Len(), int64(len(buf)))]
		b.content.ReadAt(p, r.Start)
		if _, err := c.Write(p); err != nil {
			return err
		}
		r.Start += int64(len(p))
	}
	return nil
}

// A host that does not bear a request behind another one is asked one by one
// after the first, in all connections; nobody is blamed and no byte is wrong.
func TestHostThatDoesNotBearFollowing(t *testing.T) {
	for what, misdeed := range map[string]func(net.Conn) bool{
		"closes": func(net.Conn) bool { return false },
		"garbage": func(c net.Conn) bool {
			fmt.Fprint(c, "What was that?\r\n\r\n")
			return false
		},
		"another range": func(c net.Conn) bool {
			fmt.Fprintf(c, "HTTP/1.1 206 Partial Content\r\nETag: \"1\"\r\nContent-Range: bytes 0-99999/%d\r\nContent-Length: 100000\r\n\r\n", 32*mib)
			c.Write(make([]byte, 100000))
			return false
		},
		"no answer to that one": func(net.Conn) bool { return true },
	} {
		synctest.Test(t, func(t *testing.T) {
			b := &balker{content: testbed.Content{Size: 32 * mib, Seed: 7}, misdeed: misdeed}
			t.Cleanup(b.wg.Wait) // until it has noticed that all connections are closed
			m, _ := groupAt(t, 60*time.Millisecond, nil, mib, mib, mib)
			ln, err := m.net.Listen("tcp", "192.0.2.7:80")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			const url = "http://192.0.2.7/f"
			b.wg.Go(func() { b.serve(ln) })
			began := time.Now()
			resp := m.get(url)
			if err := b.content.VerifyRange(resp.Body, 0, b.content.Size); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			resp.Body.Close()
			within(t, what, began, 14*time.Second) // 10.7 s and pauses
			if n := b.tempted.Load(); n == 0 || what != "no answer to that one" && n > 6 {
				t.Errorf("%s: was asked early %d times", what, n)
			}
			for _, s := range m.last().Sources {
				if s.Refused > 0 || s.Error != "" || s.Bytes < 4*mib {
					t.Errorf("%s: %+v", what, s)
				}
			}
		})
	}
}

// scripted is a server that reads requests and answers with what it is told to,
// connection by connection.
func scripted(t *testing.T, answers ...[]string) (ranges.Lane, *[]string, func() int) {
	t.Helper()
	network := testbed.NewMemNet()
	ln, err := network.Listen("tcp", "192.0.2.1:80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	var seen []string
	conns := 0
	go func() {
		for _, script := range answers {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns++
			r := bufio.NewReader(c)
			for _, a := range script {
				req, err := http.ReadRequest(r)
				if err != nil {
					break
				}
				seen = append(seen, fmt.Sprint(req.URL.Path, " ", req.Header))
				fmt.Fprint(c, a)
			}
			c.Close()
		}
	}()
	src := ranges.NewDialer(&http.Transport{MaxResponseHeaderBytes: 4 << 10}, ranges.KindPeer, "p", func(ctx context.Context, _ ranges.Target) (net.Conn, error) {
		return network.Dial(ctx, "tcp", "192.0.2.1:80")
	})
	lane := src.Lane(ranges.Target{})
	t.Cleanup(lane.Close)
	return lane, &seen, func() int { synctest.Wait(); return conns }
}

// A lane of paths speaks HTTP/1.1 as net/http does.
func TestLaneOfPath(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for _, c := range []struct {
		name    string
		answers [][]string
		want    []string // bodies, or errors with a !
		conns   int
	}{
		{"one connection for all", [][]string{{ok, ok, ok}}, []string{"ok", "ok", "ok"}, 1},
		{"a kept connection that has ended", [][]string{{ok}, {ok}}, []string{"ok", "ok"}, 2},
		{"interim answers", [][]string{{"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + ok, ok}}, []string{"ok", "ok"}, 1},
		{"interim answers without end", [][]string{{strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 9)}}, []string{"!interim"}, 1},
		{"connection: close", [][]string{{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"}, {ok}}, []string{"ok", "ok"}, 2},
		{"ends with the connection", [][]string{{"HTTP/1.0 200 OK\r\n\r\nok"}, {ok}}, []string{"ok", "ok"}, 2},
		{"chunked", [][]string{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", ok}}, []string{"ok", "ok"}, 1},
		{"no body", [][]string{{"HTTP/1.1 204 No Content\r\n\r\n", ok}}, []string{"", "ok"}, 1},
		{"cut", [][]string{{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"}, {ok}}, []string{"!unexpected EOF", "ok"}, 2},
		{"nothing", [][]string{{""}, {ok}}, []string{"!EOF", "ok"}, 2},
		{"garbage", [][]string{{"What?\r\n\r\n"}, {ok}}, []string{"!malformed", "ok"}, 2},
		{"more than was asked for", [][]string{{ok + ok, ok}, {ok}}, []string{"ok", "ok"}, 2},
		{"said good-bye to nobody", [][]string{{ok, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"}, {ok}}, []string{"ok", "ok"}, 2},
		{"too long a header section", [][]string{{"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 8<<10)}}, []string{"!too long"}, 1},
		{"another protocol", [][]string{{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"}}, []string{"!protocol"}, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			lane, seen, conns := scripted(t, c.answers...)
			for i, want := range c.want {
				if got := exchange(t, lane, fmt.Sprint("/", i)); !matches(got, want) {
					t.Errorf("%s: answer %d is %q, want %q", c.name, i, got, want)
				}
				synctest.Wait() // what the server does next reaches the lane
			}
			if n := conns(); n != c.conns {
				t.Errorf("%s: %d connections, want %d", c.name, n, c.conns)
			}
			for _, s := range *seen {
				if s[3:] != "map[X-Mine:[1]]" {
					t.Errorf("%s: the server got %s", c.name, s)
				}
			}
		})
	}
}

// exchange is the body of the answer to one request, or "!" and the error.
func exchange(t *testing.T, lane ranges.Lane, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://192.0.2.1"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"X-Mine": {"1"}, "User-Agent": nil}
	resp, err := lane.RoundTrip(req)
	if err != nil {
		return "!" + err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "!" + err.Error()
	}
	return string(body)
}

func matches(got, want string) bool {
	if word, ok := strings.CutPrefix(want, "!"); ok {
		return strings.HasPrefix(got, "!") && strings.Contains(got, word)
	}
	return got == want
}
