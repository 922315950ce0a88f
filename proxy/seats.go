package proxy

import (
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// DefaultPerClient is many times what a browser has at a time (32 connections to
// a proxy, or 100 streams on each), and so little that a whole house of clients
// that run wild does not use up a process's 65536 files.
const DefaultPerClient = 256

// connsPerSeat is how many connections a client may have open, most of them
// idle, for each request that it may have running.
const connsPerSeat = 4

// retryAfter is when a client that had too much may come again, in seconds.
const retryAfter = 5

// seats counts what each client has at a time. The zero value is ready.
type seats struct {
	mu    sync.Mutex
	taken map[string]int // guarded by mu
}

// take counts one more for who and returns how many there are now.
func (s *seats) take(who string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == nil {
		s.taken = map[string]int{}
	}
	s.taken[who]++
	return s.taken[who]
}

func (s *seats) free(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[who]--; s.taken[who] <= 0 {
		delete(s.taken, who)
	}
}

// account is whom a client's requests count for: a person with several devices
// is one client.
func (c Client) account() string {
	if c.User != "" {
		return "user " + c.User
	}
	return c.Addr.String()
}

// limited is whether anything is counted for this client: the owner's own
// programs are not, for they may do with their machine what they like.
func (s *Server) limited(c Client) bool { return c.Addr.IsValid() && !c.Loopback && s.perClient > 0 }

// seat admits one more request or tunnel of a client, until leave is called. It
// answers the request itself if it says no.
func (s *Server) seat(w http.ResponseWriter, r *http.Request, c Client) (leave func(), ok bool) {
	if !s.limited(c) {
		return func() {}, true
	}
	who := c.account()
	leave = func() { s.running.free(who) }
	if s.running.take(who) <= s.perClient {
		return leave, true
	}
	leave()
	s.stats.limited.Add(1)
	s.log.Debug("client has too much at a time", "client", c.Addr, "requests", s.perClient)
	w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	s.refuse(w, r, problem{http.StatusTooManyRequests, "http_request_denied",
		"this client has " + strconv.Itoa(s.perClient) + " requests and tunnels running, and may have no more at a time: try again when some have ended"})
	return nil, false
}

// trackConn counts the connections of a client from their beginning to their
// end, or until they are tunnels, which are counted as such. One too many is
// told so and closed; not an intercepted one, which has been let in before, and
// whose end would look as if its client did not trust us.
func (s *Server) trackConn(c net.Conn, state http.ConnState) {
	if state == http.StateActive || state == http.StateIdle {
		return // with each request
	}
	addr := addrOf(c.RemoteAddr().String())
	if !s.limited(Client{Addr: addr, Loopback: addr.IsLoopback()}) {
		return
	}
	switch state {
	case http.StateNew:
		n := s.conns.take(addr.String())
		if _, intercepted := c.(*tls.Conn); !intercepted && n > connsPerSeat*s.perClient {
			s.stats.limited.Add(1)
			_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // its buffer is empty: this takes no time
			_, _ = c.Write([]byte(tooManyConns))
			c.Close()
		}
	case http.StateClosed, http.StateHijacked:
		s.conns.free(addr.String())
	}
}

var tooManyConns = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: " + strconv.Itoa(retryAfter) +
	"\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ndtpx: this client has too many connections open\n"
