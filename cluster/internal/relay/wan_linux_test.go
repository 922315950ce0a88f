package relay

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"dtpx/internal/tcpinfo"
)

// What the target has sent went over the link and was paid for, whether the member
// took it or not: the kernel of the lender had it when the tunnel ended.
func TestWhatTheMemberDoesNotTakeIsPaid(t *testing.T) {
	const first, more = 64 << 10, 176 << 10
	for name, c := range map[string]struct {
		idle        time.Duration
		quota, rate int64
		end         func(s *Server, member net.Conn)
	}{
		"it closes":        {end: func(_ *Server, m net.Conn) { m.Close() }},
		"it stops reading": {end: func(*Server, net.Conn) {}, idle: 2 * time.Second},
		"the lender ends":  {end: func(s *Server, _ net.Conn) { s.Close() }},
		"the quota is used up": {
			// The rate makes pieces small, so that most of the quota goes down.
			quota: Least, rate: 1 << 20,
			end: func(_ *Server, m net.Conn) { _, _ = io.Copy(io.Discard, m) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			far := listen(t)
			a := &account{quota: 1 << 40}
			if c.quota > 0 {
				a.quota = c.quota
			}
			s := &Server{
				Rules: Rules{Ports: []int{far.Addr().(*net.TCPAddr).Port}, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
				Meter: func(string) Account { return a }, Idle: c.idle, Rate: c.rate, Dial: roomy,
			}
			defer s.Close()
			// A pipe has no buffers: the relay stands at its write until the member reads.
			member, near := net.Pipe()
			defer member.Close()
			ended := make(chan error, 1)
			go func() { ended <- s.ServeConn(t.Context(), near, "anna") }()
			_, _ = io.WriteString(member, "CONNECT "+far.Addr().String()+" HTTP/1.1\r\nHost: "+far.Addr().String()+"\r\n\r\n")
			if resp, err := http.ReadResponse(bufio.NewReader(member), nil); err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, err)
			}
			origin, err := far.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer origin.Close()
			_, _ = io.CopyN(origin, zeros{}, first)
			if _, err := member.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			_, _ = io.CopyN(origin, zeros{}, more) // the read before this one is still being written
			allSent(t, origin, first+more)
			c.end(s, member)
			<-ended
			moved := s.Stats().Down
			if moved > first && c.quota == 0 || moved >= first+more {
				t.Errorf("the test is wrong: %d bytes were read", moved)
			}
			// A byte is left out for a FIN, which did not come.
			if a.spent() != first+more-1 {
				t.Errorf("paid %d of %d bytes, %d were read", a.spent(), first+more, moved)
			}
		})
	}
}

// roomy dials with a receive buffer that holds what nobody reads.
func roomy(ctx context.Context, to netip.AddrPort, check Control) (net.Conn, error) {
	c, err := DialTCP(ctx, to, check)
	if err == nil {
		err = c.(*net.TCPConn).SetReadBuffer(1 << 20)
	}
	return c, err
}

// allSent waits until c's kernel has sent n bytes, which on loopback is when the other
// side's has them.
func allSent(t *testing.T, c net.Conn, n int64) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
		info, ok := tcpinfo.Ask(c)
		if ok && info.Sent == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d bytes sent", info.Sent, n)
		}
	}
}
