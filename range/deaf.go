package ranges

import (
	"net"
	"net/http"
	"reflect"
	"time"
)

// A connection that is kept for reuse does not say that its line has died: after a change
// of the network requests on it would be silent until the kernel gives up, a quarter of
// an hour later. One of which the far kernel has acknowledged nothing for a while is
// closed, and who waits on it asks anew on a fresh one. What is on its way there has not
// reached the origin, as far as anybody can know.

const (
	deafTime  = 3 * time.Second // until a request without peers looks
	deafTries = 3
	buryTime  = time.Minute // for which a closed connection is known as such
)

// keep notes the kept connection that the request goes out on. One that cannot be told
// from others, of a dialler of who embeds the transport, counts as a fresh one.
func (p *probe) keep(c net.Conn) {
	if reflect.ValueOf(c).Comparable() {
		p.kept.Store(&c)
	} else {
		p.lives()
	}
}

// deaf is the kept connection that the request went out on, if its far side has not
// acknowledged it; else nil.
func (p *probe) deaf() net.Conn {
	if c := p.kept.Load(); c != nil && unacked(*c) {
		return *c
	}
	return nil
}

// bury ends the request, and closes c, its connection, under all others who wait on it.
// (net/http would try some of them again by itself, and not say so.)
func (p *probe) bury(c net.Conn) {
	defer p.cancel()
	dead := &p.t.Engine.dead
	if _, known := dead.LoadOrStore(c, nil); known {
		return
	}
	time.AfterFunc(buryTime, func() { dead.Delete(c) })
	socket := c // TLS would say goodbye first, and wait
	for inner, ok := c.(interface{ NetConn() net.Conn }); ok; inner, ok = socket.(interface{ NetConn() net.Conn }) {
		socket = inner.NetConn()
	}
	socket.Close()
}

// buried reports that somebody has closed it.
func (p *probe) buried() bool {
	c := p.kept.Load()
	if c == nil {
		return false
	}
	_, dead := p.t.Engine.dead.Load(*c)
	return dead
}

// heard sends p, and as another probe again where nobody has heard it.
func (t *Transport) heard(p *probe, req *http.Request) (*probe, *http.Response, error) {
	for try := 1; ; try++ {
		timer := time.AfterFunc(deafTime, func() {
			if c := p.deaf(); c != nil {
				p.bury(c)
			}
		})
		resp, err := p.send()
		timer.Stop()
		if !p.buried() || req.Context().Err() != nil || try == deafTries {
			return p, resp, err
		}
		if err == nil { // in that moment
			resp.Body.Close()
		}
		p = t.renewed(p, req)
	}
}

// renewed is a request in the place of p, which has ended unheard.
func (t *Transport) renewed(p *probe, req *http.Request) *probe {
	p.drop()
	t.own().CloseIdleConnections() // those are as dead
	return t.probe(req)
}
