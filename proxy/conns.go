package proxy

import (
	"errors"
	"net"
	"sync"
)

// connSet is a set of open connections that can be closed together, and of the
// work done on them. The zero value is ready.
type connSet struct {
	mu     sync.Mutex
	open   map[net.Conn]bool // guarded by mu
	closed bool              // guarded by mu
	work   sync.WaitGroup
}

// add takes c in; a set that is closed closes it at once.
func (s *connSet) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return false
	}
	if s.open == nil {
		s.open = make(map[net.Conn]bool)
	}
	s.open[c] = true
	return true
}

func (s *connSet) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// begin registers work that wait waits for; end it with work.Done. False
// means that the set is closed.
func (s *connSet) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Add(1)
	return true
}

func (s *connSet) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.open {
		c.Close()
	}
}

func (s *connSet) wait() { s.work.Wait() }

// inbox is a listener fed with connections whose TLS handshake is done.
type inbox struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newInbox() *inbox {
	return &inbox{conns: make(chan net.Conn), closed: make(chan struct{})}
}

var errInboxClosed = errors.New("proxy: shutting down")

func (b *inbox) put(c net.Conn) error {
	select {
	case b.conns <- c:
		return nil
	case <-b.closed:
		return errInboxClosed
	}
}

func (b *inbox) Accept() (net.Conn, error) {
	select {
	case c := <-b.conns:
		return c, nil
	case <-b.closed:
		return nil, net.ErrClosed
	}
}

func (b *inbox) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

func (b *inbox) Addr() net.Addr { return inboxAddr{} }

type inboxAddr struct{}

func (inboxAddr) Network() string { return "intercepted" }
func (inboxAddr) String() string  { return "intercepted" }
