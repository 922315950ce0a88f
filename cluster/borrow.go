package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"dtpx/cluster/internal/group"
	"dtpx/cluster/internal/port"
	"dtpx/cluster/internal/relay"
	ranges "dtpx/range"
)

const (
	reachTime  = 2 * time.Second        // for one address of a peer: it is on the LAN
	reachNext  = 250 * time.Millisecond // after which the next one is tried beside it (RFC 8305 §5)
	answerTime = 12 * time.Second       // the relay may need 10 s to connect
	answerMax  = 8 << 10
	unwellTime = 5 * time.Second // for a peer that could not be reached

	resolveTime = 2 * time.Second // of a name that has been looked up just before
	lackTime    = time.Minute     // the connections of one download
)

// Sources implements the engine's wish for members that can fetch t.
func (c *Cluster) Sources(t ranges.Target) []ranges.Source {
	s := c.current()
	if s == nil || !c.o.Borrow || !s.mayCarry(t) {
		return nil
	}
	var all []ranges.Source
	for _, p := range s.ranked() {
		if p.source != nil && p.lends(c.o.Now()) && !s.isBlocked(p.id) {
			all = append(all, p.source)
		}
	}
	return all
}

// mayCarry reports whether members may carry t. They cannot read or alter https;
// plain http they could, so only those of a trusted group get it, unless the body
// will be checked against a digest. What carries
// credentials goes through them only for the hosts that the user lists: sites
// end sessions that jump between addresses.
func (s *session) mayCarry(t ranges.Target) bool {
	if t.URL.Scheme != "https" && !(t.URL.Scheme == "http" && (s.group.Trusted || s.c.o.Trust || t.Vouched)) {
		return false
	}
	return !t.Credentials || s.c.o.Credentials != nil && s.c.o.Credentials(t.URL.Hostname())
}

// ranked are all peers, blocked ones too: what came through those still has to
// be settled. Their order does not change from call to call.
func (s *session) ranked() []*peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*peer, 0, len(s.peers))
	for _, p := range s.peers {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *peer) int { return slices.Compare(a.id[:], b.id[:]) })
	return all
}

// dial opens a path to the origin of t through the peer: to the address that
// slice 0 used, so that the peer learns no name and all slices come from one
// edge. If that is not to be reached from there, to one of the other family, as many
// lines have no IPv6; and if that is not either, once more by name.
func (p *peer) dial(ctx context.Context, t ranges.Target) (net.Conn, error) {
	if p.s.ctx.Err() != nil {
		return nil, &ranges.Unavailable{After: -1, Reason: "left the group"}
	}
	name, edge := hostPort(t.URL), t.Edge
	if !edge.IsValid() {
		return p.connect(ctx, name)
	}
	if named := !isAddress(t.URL.Hostname()); !named || !p.isWithout(edge.Addr()) {
		if conn, err := p.connect(ctx, edge.String()); !named || !unreached(err) {
			return conn, err
		}
	}
	if other := otherFamily(ctx, t); other.IsValid() {
		conn, err := p.connect(ctx, other.String())
		if err == nil {
			p.lacks(edge.Addr())
		}
		if !unreached(err) {
			return conn, err
		}
	}
	return p.connect(ctx, name)
}

// unreached reports that a peer could not reach what it was asked for.
func unreached(err error) bool {
	var no *refused
	return errors.As(err, &no) && no.status == http.StatusBadGateway
}

// otherFamily is an address of t's host that is IPv6 where its edge is IPv4, and the
// other way round; invalid if there is none.
func otherFamily(ctx context.Context, t ranges.Target) netip.AddrPort {
	network := "ip4"
	if t.Edge.Addr().Unmap().Is4() {
		network = "ip6"
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, network, t.URL.Hostname())
	if err != nil || len(addrs) == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addrs[0].Unmap(), t.Edge.Port())
}

// lacks notes that a peer reached a host, but not by the family of a.
func (p *peer) lacks(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.without[b2i(a.Unmap().Is4())] = p.s.c.o.Now().Add(lackTime)
}

// isWithout reports that the family of a is not to be tried now: where packets are
// swallowed, each try takes the relay its 10 s.
func (p *peer) isWithout(a netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.s.c.o.Now().Before(p.without[b2i(a.Unmap().Is4())])
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func hostPort(u *url.URL) string {
	number := u.Port()
	if number == "" {
		number = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), number)
}

// refused is the relay's answer if it is no tunnel.
type refused struct {
	status int
	reason string // one word
}

func (r *refused) Error() string { return fmt.Sprintf("peer answered %d (%s)", r.status, r.reason) }

// connect asks the peer for a tunnel to hostport.
func (p *peer) connect(ctx context.Context, hostport string) (net.Conn, error) {
	stream, err := p.reach(ctx, group.Relay)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		p.fail(err, unwellTime)
		return nil, &ranges.Unavailable{After: unwellTime, Reason: "peer not reached: " + err.Error()}
	}
	stop := context.AfterFunc(ctx, func() { stream.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	stream.SetDeadline(time.Now().Add(answerTime))
	p.asks(1)
	conn, err := p.ask(stream, hostport)
	ours := p.asks(-1)
	if err != nil {
		stream.NetConn().Close()
		stream.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if ours && isQuota(err) {
			return nil, &ranges.Unavailable{After: time.Second, OneTooMany: true, Reason: "our other connections have reserved what is left of the peer's quota"}
		}
		p.fail(err, pause(err))
		return nil, err
	}
	stream.SetDeadline(time.Time{})
	p.well()
	return conn, nil
}

// asks counts streams that are being asked for, by n, and reports whether there are
// others, open or not yet.
func (p *peer) asks(n int) (others bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asking += n
	return p.open+p.asking > 0
}

// isQuota reports that a peer has refused for want of quota: a tunnel reserves up to a
// step of what is left, and where that is less the next one finds nothing.
func isQuota(err error) bool {
	var no *refused
	return errors.As(err, &no) && no.reason == "quota"
}

// ask sends CONNECT and reads the answer (RFC 9110 §9.3.6).
func (p *peer) ask(stream *port.Conn, hostport string) (net.Conn, error) {
	if _, err := io.WriteString(stream, "CONNECT "+hostport+" HTTP/1.1\r\nHost: "+hostport+"\r\n\r\n"); err != nil {
		return nil, p.explain(err)
	}
	// No byte of the tunnel can follow the answer before we have sent one.
	r := bufio.NewReaderSize(io.LimitReader(stream, answerMax), 512)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, p.explain(err)
	}
	if resp.StatusCode == http.StatusOK {
		if r.Buffered() > 0 {
			return nil, &ranges.Unavailable{After: -1, Reason: "peer answers what was not asked"}
		}
		return p.tunnel(stream), nil
	}
	no := &refused{resp.StatusCode, clean(resp.Header.Get(relay.ReasonField))}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return nil, &answer{refused: no, Unavailable: &ranges.Unavailable{After: no.after(time.Duration(seconds) * time.Second), Reason: no.words()}}
}

// explain turns a refusal that came as a TLS alert into words.
func (p *peer) explain(err error) error {
	if why := group.Explain(err); why != nil && why.Reason == group.RefusedByPeer {
		return &ranges.Unavailable{After: 30 * time.Second, Reason: why.Error()}
	}
	return fmt.Errorf("ask peer: %w", err)
}

// answer is a refusal as the engine understands it.
type answer struct {
	*refused
	*ranges.Unavailable
}

func (a *answer) Error() string   { return a.Unavailable.Error() }
func (a *answer) Unwrap() []error { return []error{a.refused, a.Unavailable} }

// after is when to ask again; below 0 is not in this download.
func (r *refused) after(said time.Duration) time.Duration {
	switch r.status {
	case http.StatusTooManyRequests:
		return min(max(said, time.Second), time.Minute)
	case http.StatusServiceUnavailable: // the quota: comes back with the new day
		if said > 0 && said < 10*time.Minute {
			return said
		}
		return -1
	case http.StatusBadGateway:
		return unwellTime
	}
	return -1
}

// words are for people.
func (r *refused) words() string {
	switch r.reason {
	case "quota":
		return "peer's quota for today is used up"
	case "ledger":
		return "peer cannot write its accounts down"
	case "connections", "flood":
		return "peer has as many connections as it lends"
	case "port":
		return "peer does not lend to this port"
	case "dial", "resolve":
		return "peer cannot reach the origin"
	}
	if r.status == http.StatusForbidden {
		return "peer does not lend to this address"
	}
	return r.Error()
}

// pause is how long the peer is left alone by all downloads after err: not at
// all where it refused this target only.
func pause(err error) time.Duration {
	var no *refused
	var u *ranges.Unavailable
	if errors.As(err, &no) && no.status != http.StatusTooManyRequests && no.status != http.StatusServiceUnavailable {
		return 0
	}
	if !errors.As(err, &u) {
		return unwellTime
	}
	if u.After < 0 { // not in that download; others may ask again
		return time.Minute
	}
	return u.After
}

// reservedTime is the pause after a peer that says it has some quota left has refused
// for want of it.
const reservedTime = 2 * tellEvery

// fail notes why the peer was of no use, and leaves it alone for a while.
func (p *peer) fail(err error, pause time.Duration) {
	now := p.s.c.o.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spent = isQuota(err)
	if p.spent && p.meta.Left != 0 { // it may have news, or tunnels have reserved that: what they do not use comes back
		pause = min(pause, reservedTime)
	}
	p.trouble = err.Error()
	if pause > 0 {
		p.until = now.Add(pause)
	}
}

func (p *peer) well() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trouble, p.until, p.spent = "", time.Time{}, false
}

// tunnel is a path through a peer. It counts what comes by it.
type tunnel struct {
	*port.Conn
	p    *peer
	once sync.Once
}

func (p *peer) tunnel(c *port.Conn) *tunnel {
	p.mu.Lock()
	p.open++
	p.mu.Unlock()
	return &tunnel{Conn: c, p: p}
}

func (t *tunnel) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.p.count(n)
	return n, err
}

func (t *tunnel) Write(b []byte) (int, error) {
	n, err := t.Conn.Write(b)
	t.p.count(n)
	return n, err
}

// Close resets the stream: what the peer still has for us shall not use up its
// quota.
func (t *tunnel) Close() error {
	t.once.Do(func() {
		t.p.mu.Lock()
		t.p.open--
		t.p.mu.Unlock()
		if tcp, ok := t.NetConn().(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		t.NetConn().Close()
	})
	return t.Conn.Close()
}

func (p *peer) count(n int) {
	if n == 0 {
		return
	}
	now := p.s.c.o.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.borrowed += int64(n)
	p.meter.add(now, int64(n))
}
