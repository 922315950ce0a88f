package testbed

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// MemNet is a network in memory. Time in it is package time's, so in a
// testing/synctest bubble a download over a slow link takes no time and ends at
// the same instant in each run. Make and use one inside the bubble.
//
// A connection behaves like TCP where clients can tell: bytes arrive in order, a
// delay after they were sent and no faster than the link's rate, which all
// connections over the link share in turns; what is unread fills a window and
// then holds the writer; a closed reader resets the writer a delay later. There is
// no send queue: what Write has taken is on the link.
type MemNet struct {
	mu        sync.Mutex
	listeners map[string]*memListener
	links     map[[2]string]*Link
	port      int
}

// NewMemNet makes a network whose links are perfect until told otherwise.
func NewMemNet() *MemNet {
	return &MemNet{listeners: map[string]*memListener{}, links: map[[2]string]*Link{}, port: 40000}
}

// defaultFrom is the address of who dials with Dial.
const defaultFrom = "10.0.0.1"

// Listen announces addr, any host:port. Port 0 is replaced by a free one.
// It has the signature of Config.ListenFunc.
func (n *MemNet) Listen(_, addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if port == "0" {
		n.port++
		addr = net.JoinHostPort(host, strconv.Itoa(n.port))
	}
	if n.listeners[addr] != nil {
		return nil, opError("listen", addr, syscall.EADDRINUSE)
	}
	l := &memListener{n: n, addr: addr, queue: make(chan net.Conn, 128), closed: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

// Dial connects from 10.0.0.1. It has the signature of http.Transport.DialContext.
func (n *MemNet) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return n.dial(ctx, defaultFrom, addr)
}

// From dials from another address: a second interface, another machine.
func (n *MemNet) From(ip string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) { return n.dial(ctx, ip, addr) }
}

// Link is the link that connections from an address to a host:port go over; ""
// stands for all that have no link of their own. Set it before dialling.
func (n *MemNet) Link(from, to string) *Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := [2]string{from, to}
	if n.links[k] == nil {
		n.links[k] = &Link{random: rand.New(rand.NewPCG(1, 2)), halves: map[*half]bool{}}
	}
	return n.links[k]
}

func (n *MemNet) route(from, to string) *Link {
	n.mu.Lock()
	for _, k := range [][2]string{{from, to}, {from, ""}, {"", to}} {
		if l := n.links[k]; l != nil {
			n.mu.Unlock()
			return l
		}
	}
	n.mu.Unlock()
	return n.Link("", "")
}

func (n *MemNet) dial(ctx context.Context, from, addr string) (net.Conn, error) {
	link := n.route(from, addr)
	if err := link.handshake(ctx); err != nil {
		return nil, opError("dial", addr, err)
	}
	n.mu.Lock()
	l := n.listeners[addr]
	n.port++
	local := net.JoinHostPort(from, strconv.Itoa(n.port))
	n.mu.Unlock()
	if l == nil {
		return nil, opError("dial", addr, syscall.ECONNREFUSED)
	}
	client, server := link.pipe(local, addr)
	select {
	case <-l.closed:
		return nil, opError("dial", addr, syscall.ECONNREFUSED)
	case l.queue <- server:
		return client, nil
	case <-ctx.Done():
		return nil, opError("dial", addr, ctx.Err())
	}
}

func opError(op, addr string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: memAddr(addr), Err: err}
}

type memAddr string

func (memAddr) Network() string  { return "tcp" }
func (a memAddr) String() string { return string(a) }

type memListener struct {
	n      *MemNet
	addr   string
	queue  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *memListener) Addr() net.Addr { return memAddr(l.addr) }

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, opError("accept", l.addr, net.ErrClosed)
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, opError("accept", l.addr, net.ErrClosed)
	}
}

// Close refuses further dials and resets who is not accepted yet.
func (l *memListener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		l.n.mu.Lock()
		delete(l.n.listeners, l.addr)
		l.n.mu.Unlock()
		close(l.closed)
		err = nil
		for {
			select {
			case c := <-l.queue:
				c.(*memConn).reset()
				continue
			default:
			}
			return
		}
	})
	return err
}

// Link is one line between two places: a delay, rates, and what happens to it.
type Link struct {
	up, down bucket // towards the listener, towards the dialler

	mu      sync.Mutex
	shape   Shape
	frozen  bool
	cut     bool
	random  *rand.Rand
	halves  map[*half]bool // open ones, to be woken
	upBytes int64
	dnBytes int64
}

// Shape is how a link carries bytes. The zero value is instant and unlimited.
type Shape struct {
	Delay    time.Duration // one way
	Up, Down int64         // bytes per second towards the listener, towards the dialler; 0 = unlimited
	Window   int           // unread bytes per connection and direction; 0 = 256 KiB
	Loss     float64       // part of the pieces that arrive only after LossWait, and all behind them
	LossWait time.Duration // 0 = 250 ms, which is what a tail drop costs (RTO)
}

// Set reshapes the link from now on.
func (l *Link) Set(s Shape) *Link {
	if s.Window == 0 {
		s.Window = 256 << 10
	}
	if s.LossWait == 0 {
		s.LossWait = 250 * time.Millisecond
	}
	l.change(func() { l.shape = s })
	return l
}

// Freeze lets nothing through until Thaw; nobody is told.
func (l *Link) Freeze() { l.change(func() { l.frozen = true }) }

// Thaw ends Freeze.
func (l *Link) Thaw() { l.change(func() { l.frozen = false }) }

// Pause freezes the link for d.
func (l *Link) Pause(d time.Duration) {
	l.Freeze()
	time.AfterFunc(d, l.Thaw)
}

// Cut resets all connections and refuses new ones until Heal.
func (l *Link) Cut() {
	var all []*half
	l.change(func() {
		l.cut = true
		for h := range l.halves {
			all = append(all, h)
		}
	})
	for _, h := range all {
		h.fail(syscall.ECONNRESET)
	}
}

// Heal ends Cut for new connections.
func (l *Link) Heal() { l.change(func() { l.cut = false }) }

// Carried is how many bytes went towards the listener and towards the dialler.
func (l *Link) Carried() (up, down int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.upBytes, l.dnBytes
}

func (l *Link) change(f func()) {
	l.mu.Lock()
	f()
	var all []*half
	for h := range l.halves {
		all = append(all, h)
	}
	l.mu.Unlock()
	for _, h := range all {
		h.bump()
	}
}

func (l *Link) state() (s Shape, frozen, cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s = l.shape; s.Window == 0 {
		s.Window = 256 << 10
	}
	return s, l.frozen, l.cut
}

// handshake takes a round trip; on a frozen link it lasts until ctx ends.
func (l *Link) handshake(ctx context.Context) error {
	for {
		s, frozen, cut := l.state()
		if cut {
			return syscall.ECONNREFUSED
		}
		if !frozen {
			return wait(ctx, 2*s.Delay)
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// carry books n bytes: when they may leave.
func (l *Link) carry(up bool, n int) time.Time {
	l.mu.Lock()
	b, rate, count := &l.down, l.shape.Down, &l.dnBytes
	if up {
		b, rate, count = &l.up, l.shape.Up, &l.upBytes
	}
	*count += int64(n)
	l.mu.Unlock()
	return b.reserve(time.Now(), n, rate)
}

// arrival is when something sent now is there.
func (l *Link) arrival() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := time.Now().Add(l.shape.Delay)
	if l.shape.Loss > 0 && l.random.Float64() < l.shape.Loss {
		at = at.Add(l.shape.LossWait)
	}
	return at
}

func (l *Link) String() string {
	s, frozen, cut := l.state()
	return fmt.Sprintf("%+v frozen=%v cut=%v", s, frozen, cut)
}
