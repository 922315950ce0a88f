package ranges

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// layer is a connection over another, as TLS is.
type layer struct{ net.Conn }

func (l layer) NetConn() net.Conn { return l.Conn }

func (l layer) Close() error { panic("said goodbye to a dead line") }

// A connection that nobody heard is closed at the bottom, known as such to who waits on
// it, and forgotten after a while.
func TestBuriedConnectionsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		e := &Engine{}
		var conn net.Conn = &layer{near}
		p, other := &probe{t: &Transport{Engine: e}, cancel: func() {}}, &probe{t: &Transport{Engine: e}}
		p.keep(conn)
		other.keep(conn)
		p.bury(conn)
		if _, err := far.Read(make([]byte, 1)); err == nil || !p.buried() || !other.buried() {
			t.Errorf("%v, %v, %v", err, p.buried(), other.buried())
		}
		time.Sleep(2 * buryTime)
		e.dead.Range(func(c, _ any) bool {
			t.Errorf("%v is kept for ever", c)
			return true
		})
	})
}
