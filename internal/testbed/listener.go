package testbed

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// ConnStats counts what happened to connections.
type ConnStats struct {
	Accepted   int // admitted within the limits
	Open       int // now
	MaxOpen    int // highest number open at a time
	Refused    int // above MaxConns: answered 503 or 429, reset, hung
	Closures   int // times the listening socket went away (Refuse)
	Resets     int // sent by the origin (limits and faults)
	PeerResets int // received from clients
}

// connTable knows the open connections.
type connTable struct {
	mu     sync.Mutex
	max    int
	policy Policy
	lastID int64
	open   map[*conn]bool
	perIP  map[netip.Addr]int
	stats  ConnStats
	change chan struct{} // closed and replaced when there may be room again
}

func (t *connTable) setLimits(l Limits) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.max, t.policy = l.MaxConns, l.OverConns
	if t.policy == "" {
		t.policy = Answer503
	}
	t.wakeLocked()
}

func (t *connTable) wakeLocked() {
	if t.change != nil {
		close(t.change)
	}
	t.change = make(chan struct{})
}

// add admits c or marks what it meets instead.
func (t *connTable) add(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open, t.perIP = map[*conn]bool{}, map[netip.Addr]int{}
	}
	t.lastID++
	c.id = t.lastID
	t.open[c] = true
	if t.max > 0 && t.perIP[c.ip] >= t.max && t.policy != Refuse {
		c.over = t.policy
		t.stats.Refused++
		return
	}
	t.perIP[c.ip]++
	t.stats.Accepted++
	t.stats.Open++
	t.stats.MaxOpen = max(t.stats.MaxOpen, t.stats.Open)
}

func (t *connTable) remove(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, c)
	if c.over != "" {
		return
	}
	t.perIP[c.ip]--
	t.stats.Open--
	t.wakeLocked()
}

func (t *connTable) count(f func(*ConnStats)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.stats)
}

func (t *connTable) closeAll() {
	t.mu.Lock()
	var all []*conn
	for c := range t.open {
		all = append(all, c)
	}
	t.mu.Unlock()
	for _, c := range all {
		c.Reset()
	}
}

// full says whether the listening socket has to go; if so, the channel tells when
// to look again.
func (t *connTable) full() (bool, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.policy == Refuse && t.max > 0 && t.stats.Open >= t.max, t.change
}

// Conns counts connections since the start or the last ResetConns.
func (o *Origin) Conns() ConnStats {
	o.conns.mu.Lock()
	defer o.conns.mu.Unlock()
	return o.conns.stats
}

// ResetConns sets the counters to zero; Open and MaxOpen begin at what is open now.
func (o *Origin) ResetConns() {
	o.conns.count(func(s *ConnStats) { *s = ConnStats{Open: s.Open, MaxOpen: s.Open} })
}

// listener wraps what it accepts, and closes its socket while the origin is full
// and the policy is Refuse.
type listener struct {
	o    *Origin
	addr net.Addr

	mu     sync.Mutex
	inner  net.Listener // nil while refusing
	closed chan struct{}
}

func newListener(o *Origin, addr string) (*listener, error) {
	inner, err := o.cfg.ListenFunc("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &listener{o: o, addr: inner.Addr(), inner: inner, closed: make(chan struct{})}, nil
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return net.ErrClosed
	default:
		close(l.closed)
	}
	if l.inner != nil {
		return l.inner.Close()
	}
	return nil
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.ready()
		if err != nil {
			return nil, err
		}
		nc, err := inner.Accept()
		if err != nil {
			if l.hungUp() {
				continue
			}
			return nil, err
		}
		if c := l.admit(nc); c != nil {
			return c, nil
		}
	}
}

// ready returns the listening socket, having waited for room if that is the rule.
func (l *listener) ready() (net.Listener, error) {
	for {
		full, change := l.o.conns.full()
		if !full {
			return l.listen()
		}
		for _, each := range l.o.listeners {
			each.hangUp()
		}
		select {
		case <-change:
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
}

func (l *listener) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inner != nil {
		l.inner.Close()
		l.inner = nil
		l.o.conns.count(func(s *ConnStats) { s.Closures++ })
	}
}

// hungUp says that an Accept failed because the origin was full.
func (l *listener) hungUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inner == nil
}

func (l *listener) listen() (net.Listener, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
	}
	if l.inner != nil {
		return l.inner, nil
	}
	inner, err := l.o.cfg.ListenFunc(l.addr.Network(), l.addr.String())
	if err != nil {
		return nil, err
	}
	l.inner = inner
	return inner, nil
}

func (l *listener) admit(nc net.Conn) *conn {
	if t, ok := nc.(*net.TCPConn); ok && l.o.cfg.SendBuffer > 0 {
		t.SetWriteBuffer(l.o.cfg.SendBuffer)
	}
	c := &conn{Conn: nc, ip: addrOf(nc.RemoteAddr()), o: l.o}
	c.perIP = l.o.pace.ip(c.ip)
	c.ctx, c.cancel = context.WithCancel(l.o.ctx)
	l.o.conns.add(c)
	if c.over == Reset {
		c.Reset()
		return nil
	}
	if c.over == Hang {
		return nil // stays in the table until the origin closes
	}
	return c
}
