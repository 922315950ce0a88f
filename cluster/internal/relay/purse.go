package relay

import (
	"errors"
	"sync"
)

// Step is how much is reserved at once. A crash loses at most that per tunnel, or
// a quarter of what the tunnel has moved.
const Step = 1 << 20

// bigStep is reserved at once when longFlow bytes have moved: each booking is
// written down, and at 4 MB/s that was a twentieth of a relay's CPU time.
const bigStep = longFlow / 4

// Least is what has to be left for a tunnel: handshakes and the smallest request
// that anybody makes of a new source. With less it would end before it brings
// anything, and the member would not learn why; and a rest that nobody can use
// must not be told to members as something left.
const Least = 256<<10 + spare

// spare stays for the other direction, which would find the purse empty while
// this one only waits for bytes, and end the tunnel with quota unspent.
const spare = 16 << 10

var errQuota = errors.New("quota used up")

// purse holds what a tunnel has reserved and not yet moved, for both directions:
// left + held never exceed its step.
type purse struct {
	account Account // write-once

	mu   sync.Mutex // guards what follows; held while booking, so that both directions do not book at once
	left int64      // reserved and nobody's
	held int64      // taken for reads that are under way
	gone int64      // moved
}

// take is called before a read and says how much it may bring.
func (p *purse) take(n int64) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left <= spare {
		got, err := p.account.Reserve(p.step() - p.held - p.left)
		if err != nil && p.left == 0 {
			return 0, err
		}
		if p.left += max(0, got); p.left == 0 {
			return 0, errQuota
		}
	}
	if n = min(n, p.left); p.left > spare {
		n = min(n, p.left-spare)
	}
	p.left -= n
	p.held += n
	return n, nil
}

// spent is called after it.
func (p *purse) spent(took, used int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held -= took
	p.left += took - used
	p.gone += used
}

func (p *purse) step() int64 {
	if p.gone >= longFlow {
		return bigStep
	}
	return Step
}

// settle is called once, after the last read; beyond is what moved uncounted.
func (p *purse) settle(beyond int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.account.Settle(p.left - beyond)
	p.left = 0
}
