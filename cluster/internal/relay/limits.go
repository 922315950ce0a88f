package relay

import (
	"context"
	"math"
	"sync"
	"time"
)

// slots counts connections, in all and by member.
type slots struct {
	all, each int // write-once

	mu     sync.Mutex // guards what follows
	taken  int
	member map[string]int
}

// take gives a slot; who is served last finds the second half taken.
func (s *slots) take(member string, last bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	if last {
		all = (all + 1) / 2
	}
	if s.taken >= all || s.member[member] >= s.each {
		return false
	}
	if s.member == nil {
		s.member = map[string]int{}
	}
	s.taken++
	s.member[member]++
	return true
}

func (s *slots) release(member string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.member[member]--; s.member[member] == 0 {
		delete(s.member, member) // keys can be minted; their names must not stay
	}
}

func (s *slots) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// wait is how long to wait before the next read: for the rate that is set, and for
// the one that the owner's traffic leaves.
func (s *Server) wait() time.Duration {
	rate := s.Bound()
	if s.Rate > 0 {
		rate = min(rate, float64(s.Rate))
	}
	return s.rate.wait(s.Now(), rate)
}

// bucket is a token bucket that may be overdrawn: bytes are paid for after they
// came, and who is next waits until the debt is gone. So nobody has to know in
// advance how much a read brings, and the average holds exactly. The zero value
// has no limit.
type bucket struct {
	mu     sync.Mutex // guards what follows
	rate   float64    // bytes per second; 0 is no limit
	tokens float64
	last   time.Time
}

// burst is a tenth of a second: enough to bridge the pauses between reads.
func (b *bucket) burst() float64 { return b.rate / 10 }

// wait is how long to wait at now before the next read, at so many bytes per second
// from now on; +Inf is no limit.
func (b *bucket) wait(now time.Time, rate float64) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refillLocked(now)
	if math.IsInf(rate, 1) {
		b.rate, b.tokens = 0, 0
		return 0
	}
	b.rate = max(rate, 1)
	b.tokens = min(b.tokens, b.burst())
	if b.tokens >= 0 {
		return 0
	}
	return time.Duration(-b.tokens/b.rate*float64(time.Second)) + 1
}

func (b *bucket) pay(now time.Time, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refillLocked(now)
	if b.rate > 0 {
		b.tokens -= float64(n)
	}
}

// refillLocked ignores a clock that goes back.
func (b *bucket) refillLocked(now time.Time) {
	if d := now.Sub(b.last); d > 0 {
		b.tokens = min(b.burst(), b.tokens+d.Seconds()*b.rate)
	}
	b.last = now
}

// piece is how much one read may take, so that the debt stays short.
func (b *bucket) piece() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate <= 0 {
		return bufSize
	}
	return int64(min(bufSize, max(4<<10, b.rate/20)))
}

// sleep is false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
