package ranges

import (
	"net/http"
	"net/url"
	"time"
)

// yieldTime is how long a host gets to notice that a connection is gone.
const yieldTime = 150 * time.Millisecond

// crowdedOut reports that a client's own request was refused as one connection
// too many would be.
func crowdedOut(resp *http.Response, err error) bool {
	if err != nil {
		return refused(err)
	}
	return resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests
}

// yield gives up one connection of each download from u's host. It reports
// whether there was one: then a client's request that was refused deserves
// another try, because our helpers may have stood in its place.
func (e *Engine) yield(u *url.URL) (gave bool) {
	e.mu.Lock()
	var all []*Download
	for _, ds := range e.active {
		all = append(all, ds...)
	}
	e.mu.Unlock()
	for _, d := range all {
		gave = d.yield(u) || gave
	}
	return gave
}

func (d *Download) yield(u *url.URL) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.target.URL.Host != u.Host || d.target.URL.Scheme != u.Scheme {
		return false
	}
	acts := d.plan.Yield(d.now())
	for _, a := range acts {
		d.doLocked(a)
	}
	if len(acts) > 0 {
		d.dropLanesLocked() // idle ones count as well
		d.nudge()
	}
	return len(acts) > 0
}

// again repeats a client's request that our own connections have crowded out.
// It returns what came first if there is nothing to give up for it.
func (t *Transport) again(first *probe, req *http.Request, resp *http.Response, err error) (*probe, *http.Response, error) {
	if !crowdedOut(resp, err) || !t.Engine.yield(req.URL) {
		return first, resp, err
	}
	select {
	case <-time.After(yieldTime):
	case <-req.Context().Done():
		return first, resp, err
	}
	if err == nil {
		discard(resp)
	}
	first.drop()
	first = t.probe(req)
	resp, err = first.send()
	return first, resp, err
}
