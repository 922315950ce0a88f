package cork_test

import (
	"errors"
	"net"
	"testing"

	"dtpx/internal/cork"
)

// counted notes each write; the third fails.
type counted struct {
	net.Conn
	writes []string
}

var errFull = errors.New("full")

func (c *counted) Write(p []byte) (int, error) {
	if len(c.writes) == 2 {
		return 0, errFull
	}
	c.writes = append(c.writes, string(p))
	return len(p), nil
}

func TestTogether(t *testing.T) {
	under := &counted{}
	c := cork.New(under)
	some := func() (n int, err error) {
		for _, s := range []string{"a", "b", "c"} {
			k, err := c.Write([]byte(s))
			if n += k; err != nil {
				return n, err
			}
		}
		return n, nil
	}
	if n, err := c.Together(some); n != 3 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	c.Write([]byte("d"))
	if len(under.writes) != 2 || under.writes[0] != "abc" || under.writes[1] != "d" {
		t.Errorf("wrote %q", under.writes)
	}
	if _, err := c.Together(some); !errors.Is(err, errFull) {
		t.Errorf("a failure to send is %v", err)
	}
	if c.NetConn() != net.Conn(under) {
		t.Error("the connection below is not told")
	}
}
