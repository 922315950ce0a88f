package gossip

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"dtpx/cluster/internal/group"
)

// transport carries one instance of memberlist over a Wire.
type transport struct {
	wire     Wire
	at       netip.AddrPort
	contacts *contacts
	route    func(name string, to netip.AddrPort) netip.AddrPort
	now      func() time.Time

	packets chan *memberlist.Packet
	streams chan net.Conn
	failed  sync.Map        // netip.AddrPort: error, of a Join's dial
	ctx     context.Context // ends with Shutdown
	cancel  context.CancelFunc
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

const (
	packetMax   = 1400 // bytes, below the MTU of every LAN and tunnel
	packetQueue = 256  // more are dropped: the next probe says it again

	// streamMax is what a stream may carry: 1280 entries of about 800 bytes fit.
	streamMax = 2 << 20
)

func newTransport(w Wire, at netip.AddrPort, b *book, now func() time.Time) *transport {
	t := &transport{wire: w, at: at, contacts: b.contacts, route: b.route, now: now,
		packets: make(chan *memberlist.Packet, packetQueue), streams: make(chan net.Conn)}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.at.Addr().AsSlice(), int(t.at.Port()), nil
}

// PacketCh implements memberlist.Transport.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown implements memberlist.Transport.
func (t *transport) Shutdown() error {
	t.cancel()
	return nil
}

// WriteTo implements memberlist.Transport.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress implements memberlist.NodeAwareTransport. Members name the
// addresses that answers go to, so each one is looked at.
func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	to, err := netip.ParseAddrPort(a.Addr)
	if err != nil {
		return time.Time{}, err
	}
	to = t.route(a.Name, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
	if !reachable(to.Addr(), t.at.Addr().IsLoopback()) {
		return time.Time{}, errAddress
	}
	if err := t.ctx.Err(); err != nil {
		return time.Time{}, err
	}
	return time.Now(), t.wire.WriteTo(b, to)
}

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	to, err := t.target(a)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	c, err := t.wire.DialStream(ctx, to)
	if err != nil {
		if strings.HasPrefix(a.Name, joinMark) {
			t.failed.Store(to, err)
		}
		return nil, err
	}
	if id, ok := peerOf(c); ok {
		t.contacts.prove(id, to, t.now())
	}
	return newStream(c, nil), nil
}

// joinMark begins the name that a Join of ours gives an address: memberlist
// would take an address with a zone for a host name and ask DNS.
const joinMark = "to="

func joinAddress(to netip.AddrPort) string {
	return joinMark + to.String() + "/" + netip.AddrPortFrom(netip.IPv4Unspecified(), to.Port()).String()
}

// target is where a stream goes. What does not come from Join was told by
// members.
func (t *transport) target(a memberlist.Address) (netip.AddrPort, error) {
	if text, ok := strings.CutPrefix(a.Name, joinMark); ok {
		return netip.ParseAddrPort(text)
	}
	to, err := netip.ParseAddrPort(a.Addr)
	if err != nil {
		return to, err
	}
	return t.route(a.Name, netip.AddrPortFrom(to.Addr().Unmap(), to.Port())), nil
}

// peerOf is who proved its key on a stream.
func peerOf(c net.Conn) (group.NodeID, bool) {
	t, ok := c.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return group.NodeID{}, false
	}
	id, err := group.PeerID(t.ConnectionState())
	return id, err == nil
}

// stream bounds what the far side can make memberlist read: it would take 20 MB,
// and an encrypted message without content ends the process (v0.7.0,
// readStream's plain[0]).
type stream struct {
	net.Conn
	head    []byte // read ahead
	checked bool
	left    int64
	closed  sync.Once
	release func() // may be nil
}

func newStream(c net.Conn, release func()) *stream {
	return &stream{Conn: c, left: streamMax, release: release}
}

const (
	encryptMsg    = 10 // memberlist's type of an encrypted message
	encryptVsn    = 1  // AES-GCM without padding
	encryptHead   = 6  // type, length, version
	encryptedNone = 29 // bytes of one that holds nothing: version, nonce, tag
)

var errStream = errors.New("not a stream of membership")

// Read implements io.Reader.
func (s *stream) Read(b []byte) (int, error) {
	if !s.checked {
		if err := s.check(); err != nil {
			return 0, err
		}
	}
	if len(s.head) > 0 {
		n := copy(b, s.head)
		s.head = s.head[n:]
		return n, nil
	}
	if s.left <= 0 {
		return 0, fmt.Errorf("read stream: more than %d bytes", streamMax)
	}
	n, err := s.Conn.Read(b[:min(int64(len(b)), s.left)])
	s.left -= int64(n)
	return n, err
}

// check looks at the beginning of the one message that a stream carries.
func (s *stream) check() error {
	head := make([]byte, encryptHead)
	if _, err := io.ReadFull(s.Conn, head); err != nil {
		return err
	}
	size := int64(binary.BigEndian.Uint32(head[1:]))
	if head[0] != encryptMsg || head[5] != encryptVsn || size <= encryptedNone || size > streamMax {
		return errStream
	}
	s.head, s.left, s.checked = head, size-1, true
	return nil
}

// Close implements net.Conn.
func (s *stream) Close() (err error) {
	s.closed.Do(func() {
		err = s.Conn.Close()
		if s.release != nil {
			s.release()
		}
	})
	return err
}
