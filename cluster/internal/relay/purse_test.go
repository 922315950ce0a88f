package relay

import (
	"errors"
	"testing"
)

// pot is an account with so much in it.
type pot struct{ left int64 }

func (p *pot) Reserve(n int64) (int64, error) {
	n = min(n, p.left)
	p.left -= n
	return n, nil
}

func (p *pot) Settle(n int64) { p.left += n }

// One direction waits with what it took; the other one can spend the rest of
// the quota all the same.
func TestLastOfTheQuotaServesBothDirections(t *testing.T) {
	for _, quota := range []int64{Least + spare, 300 << 10, Step, Step + 1, 3*Step + 5} {
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
