package relay

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"

	"dtpx/internal/testbed"
)

const origin = "1.1.1.1:443"

// Where a connection counts as one of anna's or ben's.
const forAnna, forBen = "lender:1", "lender:3"

// rig is a relay between a member and an origin, in memory and fake time.
type rig struct {
	*testing.T
	*Server
	net     *testbed.MemNet
	account *account
	errs    chan error
	done    sync.WaitGroup
	ln      []net.Listener
}

// play runs f in a bubble; handle is the origin's side of each connection.
func play(t *testing.T, set func(*Server), handle func(net.Conn), f func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, net: testbed.NewMemNet(), account: &account{quota: 1 << 40}, errs: make(chan error, 100)}
		r.Server = &Server{Rules: ports(), Meter: func(string) Account { return r.account }}
		r.Dial = func(ctx context.Context, to netip.AddrPort, check Control) (net.Conn, error) {
			if err := check("tcp", to.String(), nil); err != nil {
				return nil, err
			}
			return r.net.From("80.0.0.1")(ctx, "tcp", to.String())
		}
		if set != nil {
			set(r.Server)
		}
		r.listen(origin, func(c net.Conn) { defer c.Close(); handle(c) })
		for lender, member := range map[string]string{forAnna: "anna", forBen: "ben"} {
			r.listen(lender, func(c net.Conn) { r.errs <- r.ServeConn(t.Context(), c, member) })
		}
		f(r)
		r.Server.Close()
		for _, l := range r.ln {
			l.Close()
		}
		r.done.Wait()
		if got, want := r.account.spent(), r.Stats().Up+r.Stats().Down; got != want {
			t.Errorf("account %d, moved %d", got, want)
		}
		if r.Stats().Open != 0 || r.waits.count() != 0 {
			t.Errorf("slots left: %+v", r.Stats())
		}
	})
}

func (r *rig) listen(addr string, f func(net.Conn)) {
	l, err := r.net.Listen("tcp", addr)
	if err != nil {
		r.Fatal(err)
	}
	r.ln = append(r.ln, l)
	r.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.done.Go(func() { f(c) })
		}
	})
}

// ask sends a CONNECT for anna and returns the answer and the connection behind it.
func (r *rig) ask(to string) (*http.Response, *member) {
	r.Helper()
	return r.askAt(forAnna, to)
}

func (r *rig) askAt(lender, to string) (*http.Response, *member) {
	r.Helper()
	c, err := r.net.Dial(r.Context(), "tcp", lender)
	if err != nil {
		r.Fatal(err)
	}
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to)
	m := &member{c, bufio.NewReader(c)}
	resp, err := http.ReadResponse(m.r, &http.Request{Method: "CONNECT"})
	if err != nil {
		r.Fatalf("%s: %v", to, err)
	}
	return resp, m
}

func (r *rig) open() *member {
	r.Helper()
	return r.openAt(forAnna)
}

func (r *rig) openAt(lender string) *member {
	r.Helper()
	resp, m := r.askAt(lender, origin)
	if resp.StatusCode != 200 {
		r.Fatalf("%s %s", resp.Status, resp.Header)
	}
	return m
}

type member struct {
	net.Conn
	r *bufio.Reader
}

func (m *member) Read(p []byte) (int, error) { return m.r.Read(p) }
func (m *member) closeWrite()                { closeWrite(m.Conn) }

// account grants until its quota is gone.
type account struct {
	mu          sync.Mutex
	quota, used int64
	err         error
}

func (a *account) Reserve(n int64) (int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return 0, a.err
	}
	n = min(n, a.quota-a.used)
	a.used += n
	return n, nil
}

func (a *account) Settle(unused int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used -= unused
}

func (a *account) spent() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used
}

// give sends n bytes and ends.
func give(n int64) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.CopyN(c, zeros{}, n) }
}

func count(t *testing.T, r io.Reader, want int64) {
	t.Helper()
	if n, err := io.Copy(io.Discard, r); n != want || err != nil {
		t.Errorf("%d bytes, %v; want %d", n, err, want)
	}
}
