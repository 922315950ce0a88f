package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// serve is the life of one connection.
func (s *Server) serve(ctx context.Context, conn net.Conn, member string) error {
	if !s.waits.take(member, false) {
		s.counts.refused.Add(1)
		return &refusal{status: 429, reason: "flood"} // not said: saying it costs more than it is worth
	}
	stop := after(ctx, func() { abort(conn) })
	t, err := s.prepare(ctx, conn, member)
	if err != nil {
		s.counts.refused.Add(1)
		if ctx.Err() == nil && !errors.Is(err, io.EOF) {
			refused(err).send(conn)
		}
		stop()
		s.waits.release(member)
		return err
	}
	stop() // from here on the tunnel watches ctx
	s.waits.release(member)
	defer s.open.release(member)
	s.counts.tunnels.Add(1)
	return t.run(ctx)
}

// prepare reads the request and takes what a tunnel needs, cheapest first: a
// slot, quota, the connection. On error it has given everything back.
func (s *Server) prepare(ctx context.Context, conn net.Conn, member string) (*tunnel, error) {
	conn.SetDeadline(time.Now().Add(s.Head))
	head, rest, err := readHead(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, &refusal{status: 408, reason: "timeout", err: err}
	} else if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	to, err := parse(head)
	if err != nil {
		return nil, err
	}
	last := s.Last(member)
	if !s.open.take(member, last) {
		return nil, &refusal{status: 429, reason: "connections", retry: time.Second}
	}
	t := &tunnel{s: s, last: last, member: conn, early: rest, purse: &purse{account: s.Meter(member)}}
	if err = t.start(ctx, to); err != nil {
		t.purse.settle(0)
		s.open.release(member)
		return nil, err
	}
	return t, nil
}

// untilReset is what Retry-After says when the quota is used up.
func (s *Server) untilReset() time.Duration {
	if s.Reset == nil {
		return 0
	}
	return max(0, s.Reset().Sub(s.Now()))
}

// start reserves before it dials, so that nothing is dialled without quota.
func (t *tunnel) start(ctx context.Context, to target) error {
	took, err := t.purse.take(Step)
	if err == nil {
		t.purse.spent(took, 0)
	}
	if errors.Is(err, errQuota) || err == nil && took < Least-spare {
		return &refusal{status: 503, reason: "quota", retry: t.s.untilReset()}
	} else if err != nil {
		return &refusal{status: 503, reason: "ledger", err: err}
	}
	if t.origin, err = t.s.connect(ctx, to); err != nil {
		return err
	}
	t.member.SetWriteDeadline(time.Now().Add(t.s.Head))
	_, err = io.WriteString(t.member, "HTTP/1.1 200 OK\r\n\r\n")
	t.member.SetWriteDeadline(time.Time{})
	if err != nil {
		t.origin.Close()
	}
	return err
}

// after runs f when ctx ends before stop is called; stop waits for a running f.
func after(ctx context.Context, f func()) (stop func()) {
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() { defer close(done); f() })
	return func() {
		if !cancel() {
			<-done
		}
	}
}
