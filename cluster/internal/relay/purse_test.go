package relay

import (
	"errors"
	"testing"
	"time"
)

// pot is an account with so much in it.
type pot struct{ left int64 }

func (p *pot) Reserve(n int64) (int64, error) {
	n = min(n, p.left)
	p.left -= n
	return n, nil
}

func (p *pot) Settle(n int64) { p.left += n }

// books counts bookings.
type books struct {
	pot
	times int
}

func (b *books) Reserve(n int64) (int64, error) {
	b.times++
	return b.pot.Reserve(n)
}

// A flow that has lasted is written down every 4 MiB, not every MiB, and pauses
// half as long again.
func TestLongFlow(t *testing.T) {
	account := &books{pot: pot{1 << 40}}
	p := &purse{account: account}
	move := func(total int64) (times int) {
		before := account.times
		for total > 0 {
			n, err := p.take(bufSize)
			if err != nil {
				t.Fatal(err)
			}
			p.spent(n, n)
			total -= n
		}
		return account.times - before
	}
	if n := move(longFlow); n < 16 || n > 18 {
		t.Errorf("%d bookings for the first 16 MiB", n)
	}
	if n := move(64 << 20); n < 16 || n > 18 {
		t.Errorf("%d bookings for the next 64 MiB", n)
	}
	const each = time.Second / 32 // in which 128 KiB come at 4 MiB/s
	for moved, want := range map[int64]time.Duration{1 << 20: each, longFlow: each * 3 / 2} {
		f := flow{}
		now := time.Now()
		f.gather(now, moved-(1<<20))
		size, got := f.gather(now.Add(250*time.Millisecond), moved)
		if got != want*5/4 {
			t.Errorf("a pause of %v at most at %d bytes, want %v", got, moved, want*5/4)
		}
		if want := int(want * (4 << 20) / time.Second); size != want {
			t.Errorf("it ends with %d bytes, want %d", size, want)
		}
	}
}

// What members are told is left is what a tunnel comes about with.
func TestLeastIsEnough(t *testing.T) {
	for quota, want := range map[int64]int{Least: 200, Least - 1: 503} {
		play(t, nil, give(1), func(r *rig) {
			r.account.quota = quota
			resp, m := r.ask(origin)
			if resp.StatusCode != want {
				t.Errorf("%d left: %s", quota, resp.Status)
			}
			m.Close()
		})
	}
}

// One direction waits with what it took; the other one can spend the rest of
// the quota all the same.
func TestLastOfTheQuotaServesBothDirections(t *testing.T) {
	for _, quota := range []int64{Least, 300 << 10, Step, Step + 1, 3*Step + 5} {
		account := &pot{quota}
		p := &purse{account: account}
		if _, err := p.take(bufSize); err != nil { // upward: no byte comes
			t.Fatal(err)
		}
		spent := int64(0)
		for {
			n, err := p.take(bufSize)
			if errors.Is(err, errQuota) {
				break
			}
			if err != nil || n <= 0 || p.left < 0 || p.left+p.held > Step {
				t.Fatalf("took %d, %v, purse %d + %d", n, err, p.left, p.held)
			}
			p.spent(n, n)
			spent += n
		}
		if quota-spent > bufSize || spent == 0 {
			t.Errorf("of %d %d were spent", quota, spent)
		}
	}
}
