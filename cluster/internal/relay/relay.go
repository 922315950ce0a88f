// Package relay is the lending side: it opens a TCP path to a public address
// for another member of the group and sees nothing but that address and numbers
// of bytes.
//
//	read one CONNECT request, bounded in size and time      request.go
//	take a slot, in all and of this member                  limits.go
//	reserve the first bytes of quota                        purse.go
//	resolve, if a name was given; check each address        rules.go
//	dial, and check again what was really dialled           dial.go
//	answer 200, copy both ways, give back what was unused   tunnel.go
//
// A refusal is an HTTP status with a word for machines in Dtpx-Reason:
// 403 target not lent to, 429 too many connections, 502 not reached, 503 quota
// used up. One connection carries one request.
//
// Not guaranteed: that the bytes make sense (integrity is the business of the
// TLS that runs inside), and that a tunnel ends before its idle time if its
// target holds still.
package relay

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Account is what one tunnel may spend.
type Account interface {
	// Reserve books up to n bytes before they are moved and returns how many
	// it granted; 0 means that the quota is used up. An error means that they
	// could not be booked, and nothing was granted.
	Reserve(n int64) (granted int64, err error)
	// Settle ends the account: what of the granted bytes was not moved, or if
	// negative, how many were moved beyond them.
	Settle(unused int64)
}

// Control is net.Dialer.Control: it sees the address before it is connected to.
type Control func(network, address string, c syscall.RawConn) error

// Server lends. Its fields are written before the first ServeConn; the zero
// value of each is useful, except that without Rules.Ports all is refused.
type Server struct {
	Rules Rules
	// Resolve looks a host name up; nil is the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial connects to addr and lets check see each address first; nil is a
	// net.Dialer.
	Dial func(ctx context.Context, addr netip.AddrPort, check Control) (net.Conn, error)
	// Meter opens an account for a tunnel of a member; nil counts nothing.
	Meter func(member string) Account
	// Bound is asked before each read how many bytes per second the owner's own
	// traffic leaves to all tunnels; +Inf is no bound, nil is none ever.
	Bound func() float64
	// Last reports that a member is served after the others: it may take half
	// of the slots, and its tunnels wait for theirs. nil is nobody.
	Last func(member string) bool
	// Reset is when the quota begins anew, told to who comes too late; nil is
	// not known.
	Reset func() time.Time
	// Rate bounds the bytes per second of all tunnels, both ways; 0 is none.
	Rate int64
	// Conns bounds the tunnels in all, PerMember those of one member;
	// 0 is 32 and half of Conns.
	Conns, PerMember int
	// Idle ends a tunnel on which nothing moved for so long; 0 is 90 s.
	Idle time.Duration
	// Head bounds the time for the request, Connect that for resolving and
	// dialling; 0 is 10 s.
	Head, Connect time.Duration
	Now           func() time.Time
	Log           *slog.Logger

	once   sync.Once
	rate   *bucket
	waits  *slots // connections whose request is being read or answered
	open   *slots // tunnels
	counts counters
	busy   atomic.Int64 // when a tunnel of who is not served last moved, unix nanoseconds

	mu      sync.Mutex // guards what follows
	closed  bool
	running map[*job]struct{}
	warned  time.Time
	jobs    sync.WaitGroup
}

type job struct{ cancel context.CancelFunc }

// Stats counts since the start.
type Stats struct {
	Open    int   // tunnels that run now
	Tunnels int64 // tunnels that were opened
	Refused int64 // requests answered with an error, or dropped
	Up      int64 // bytes from members to their targets
	Down    int64 // bytes from targets to members
}

type counters struct{ tunnels, refused, up, down atomic.Int64 }

// Stats may be called at any time.
func (s *Server) Stats() Stats {
	s.once.Do(s.fill)
	return Stats{s.open.count(), s.counts.tunnels.Load(), s.counts.refused.Load(), s.counts.up.Load(), s.counts.down.Load()}
}

func (s *Server) fill() {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&s.Idle, 90*time.Second)
	def(&s.Head, 10*time.Second)
	def(&s.Connect, 10*time.Second)
	if s.Conns <= 0 {
		s.Conns = 32
	}
	if s.PerMember <= 0 {
		s.PerMember = max(1, s.Conns/2)
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.Resolve == nil {
		s.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if s.Dial == nil {
		s.Dial = DialTCP
	}
	if s.Meter == nil {
		s.Meter = func(string) Account { return free{} }
	}
	if s.Bound == nil {
		s.Bound = func() float64 { return math.Inf(1) }
	}
	if s.Last == nil {
		s.Last = func(string) bool { return false }
	}
	s.rate = &bucket{}
	s.open = &slots{all: s.Conns, each: s.PerMember}
	// Those who wait may be as many again, so that who is over the limit is
	// told so instead of being cut off.
	s.waits = &slots{all: 2 * s.Conns, each: 2 * s.PerMember}
	s.running = map[*job]struct{}{}
}

// ServeConn serves one request of member on conn, closes conn, and returns when
// the tunnel has ended. The error says why there was none or why it ended early.
func (s *Server) ServeConn(ctx context.Context, conn net.Conn, member string) error {
	s.once.Do(s.fill)
	ctx, j := s.begin(ctx)
	if j == nil {
		conn.Close()
		return net.ErrClosed
	}
	defer s.end(j)
	defer conn.Close()
	err := s.serve(ctx, conn, member)
	if err != nil {
		s.Log.Debug("relay", "member", member, "err", err)
	}
	if r := (*refusal)(nil); errors.As(err, &r) && r.reason == "ledger" {
		s.warn(r.err)
	}
	return err
}

const warnEvery = time.Minute // members ask again and again

// warn tells the owner why nothing is lent: a full disk, mostly.
func (s *Server) warn(why error) {
	now := s.Now()
	s.mu.Lock()
	say := s.warned.IsZero() || now.Sub(s.warned).Abs() >= warnEvery
	if say {
		s.warned = now
	}
	s.mu.Unlock()
	if say {
		s.Log.Warn("nothing is lent, since it cannot be written down", "err", why)
	}
}

func (s *Server) begin(ctx context.Context) (context.Context, *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ctx, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	j := &job{cancel}
	s.running[j] = struct{}{}
	s.jobs.Add(1)
	return ctx, j
}

func (s *Server) end(j *job) {
	j.cancel()
	s.mu.Lock()
	delete(s.running, j)
	s.mu.Unlock()
	s.jobs.Done()
}

// Close ends all tunnels and waits for them.
func (s *Server) Close() error {
	s.once.Do(s.fill)
	s.mu.Lock()
	s.closed = true
	for j := range s.running {
		j.cancel()
	}
	s.mu.Unlock()
	s.jobs.Wait()
	return nil
}

// free is the account of who pays nothing.
type free struct{}

func (free) Reserve(n int64) (int64, error) { return n, nil }
func (free) Settle(int64)                   {}
