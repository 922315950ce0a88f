package ranges

import (
	"errors"
	"net"
	"net/http"
	"syscall"
	"time"
)

// When this machine's own line is dead, a large file can still come over the
// members'. The client's request then goes through peers:
//
//	send it directly; if no connection comes about within connectTime, dialling fails,
//	or it went out on a kept connection and nothing of it was acknowledged by then:
//	    ask Engine.Sources for peers; send it through one, and through the next if
//	    that has no connection within staggerTime
//	    the first answer that can be accelerated is slice 0, of that peer's source
//	    any other answer is thrown away: small and interactive requests are not for peers
//	should the direct one connect before such an answer has come, it goes on alone
//
// A request that has reached the origin by a direct connection is never sent
// again. One that went out on a kept connection, of which the origin's kernel has
// acknowledged nothing, is sent anew on a fresh one.

const (
	connectTime = 1500 * time.Millisecond
	staggerTime = 500 * time.Millisecond
	rescuers    = 3 // peers tried for one request: the origin itself may be down
)

// answer is how a probe ended.
type answer struct {
	p    *probe
	resp *http.Response
	err  error
}

func (p *probe) sendTo(out chan<- answer) {
	resp, err := p.send()
	out <- answer{p, resp, err}
}

// first sends req directly, or through a peer where the own line is dead.
func (t *Transport) first(req *http.Request) (*probe, *http.Response, error) {
	p := t.probe(req)
	if t.Engine.Sources == nil || req.URL.Scheme != "https" || t.Engine.Disabled {
		return t.heard(p, req)
	}
	r := &rescue{t: t, req: req, direct: p}
	r.send()
	timer := time.NewTimer(connectTime)
	defer timer.Stop()
	select {
	case a := <-r.own:
		return r.answered(a)
	case <-p.connected:
		return r.answered(<-r.own)
	case <-timer.C:
	}
	if p.kept.Load() != nil {
		if c := p.deaf(); c != nil {
			p.bury(c)
		}
		return r.answered(<-r.own)
	}
	a := r.run()
	return a.p, a.resp, a.err
}

// answered is how it goes on after the direct request has ended.
func (r *rescue) answered(a answer) (*probe, *http.Response, error) {
	switch {
	case a.p.buried() && r.req.Context().Err() == nil: // nobody has heard it
		if a.err == nil { // in that moment
			a.resp.Body.Close()
		}
		r.direct = r.t.renewed(a.p, r.req)
		r.send()
	case a.err != nil && unconnected(a):
		r.failed = &a
	default:
		return a.p, a.resp, a.err
	}
	a = r.run()
	return a.p, a.resp, a.err
}

// send sends the direct request.
func (r *rescue) send() {
	r.own = make(chan answer, 1)
	go r.direct.sendTo(r.own)
}

// unconnected reports a request that was never written because there was no way
// to the host.
func unconnected(a answer) bool {
	select {
	case <-a.p.connected:
		return false
	default:
	}
	var op *net.OpError
	return unreachable(a.err) || errors.As(a.err, &op) && op.Op == "dial"
}

// unreachable reports an error that says nothing about the host: the network
// does not lead to it.
func unreachable(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETDOWN)
}

// rescue is one request whose direct connection does not come about. Its
// methods belong to one goroutine.
type rescue struct {
	t      *Transport
	req    *http.Request
	direct *probe
	own    chan answer // of the direct one
	failed *answer     // the direct one's end; nil while it still tries

	peers   []Source
	tried   []*probe
	running int
	results chan answer
}

// run returns the answer that the client gets.
func (r *rescue) run() answer {
	r.peers = r.t.rescuers(r.req, r.direct)
	r.results = make(chan answer, len(r.peers))
	got := r.ask()
	for _, p := range r.tried {
		if p != got.p {
			p.cancel()
		}
	}
	for ; r.running > 0; r.running-- {
		if a := <-r.results; a.err == nil {
			a.resp.Body.Close()
		}
	}
	for _, p := range r.tried {
		if p != got.p {
			p.release()
			p.lane.Close()
		}
	}
	if got.p == nil || got.p == r.direct {
		if r.failed == nil {
			a := <-r.own
			r.failed = &a
		}
		return *r.failed
	}
	r.direct.drop()
	if r.failed == nil { // it ends at once
		if a := <-r.own; a.err == nil {
			a.resp.Body.Close()
		}
	}
	return got
}

// ask tries the peers until one of them has a useful answer or the direct
// request has a connection; a zero answer stands for the direct one.
func (r *rescue) ask() answer {
	next := time.NewTimer(0)
	defer next.Stop()
	own := r.own
	if r.failed != nil {
		own = nil
	}
	for len(r.tried) < len(r.peers) || r.running > 0 {
		select {
		case <-r.direct.connected:
			return answer{}
		case <-r.req.Context().Done():
			return answer{}
		case a := <-own:
			r.failed, own = &a, nil
			if a.err == nil || !unconnected(a) {
				return answer{}
			}
		case a := <-r.results:
			r.running--
			if a.err == nil {
				if r.t.worthy(a) {
					return a
				}
				a.resp.Body.Close()
				return answer{}
			}
			next.Reset(0)
		case <-next.C:
			r.tryNext()
			next.Reset(staggerTime)
		}
	}
	return answer{}
}

// tryNext sends the request through the next peer, unless one has it already.
func (r *rescue) tryNext() {
	if len(r.tried) == len(r.peers) {
		return
	}
	if n := len(r.tried); r.running > 0 {
		select {
		case <-r.tried[n-1].connected:
			return
		default:
		}
	}
	p := r.t.probe(r.req)
	p.via = r.peers[len(r.tried)]
	p.lane = p.via.Lane(Target{URL: r.req.URL, Credentials: hasCredentials(r.req.Header)})
	r.tried = append(r.tried, p)
	r.running++
	go p.sendTo(r.results)
}

// rescuers are the peers through which req may be sent.
func (t *Transport) rescuers(req *http.Request, p *probe) (out []Source) {
	if t.Engine.never(req.URL.Hostname()) || t.Engine.Hosts.get(req.URL).NoPeers {
		return nil
	}
	for _, s := range t.Engine.Sources(p.target()) {
		if s.Kind() == KindPeer && len(out) < rescuers {
			out = append(out, s)
		}
	}
	return out
}

// worthy reports that an answer can be accelerated.
func (t *Transport) worthy(a answer) bool {
	asked, _, _ := ParseRange(a.p.req.Header.Values("Range"))
	_, r, reason := eligible(a.resp, asked)
	return reason == "" && r.Len() >= t.Engine.MinSize
}

// viaLocked is the number of the source that slice 0 comes from: the direct one
// unless the own line was dead. That one is then asked again from time to time.
func (d *Download) viaLocked(p *probe) int {
	if p.via == nil {
		return 0
	}
	d.plan.Unreachable(schedID(0), d.now())
	d.sources[0].last = "no connection"
	for k, o := range d.sources {
		if k > 0 && o.Kind() == p.via.Kind() && o.Name() == p.via.Name() {
			return k
		}
	}
	d.addLocked(p.via)
	return len(d.sources) - 1
}
