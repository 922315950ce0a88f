package ranges

import (
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"dtpx/range/internal/sched"
)

// redirects remembers for ten minutes, in memory only, which request of a
// client was answered with which Location. A proxy sees only the target of a
// redirect; when a signed target expires in mid-file, asking the original
// again is the only way on.
type redirects struct {
	mu   sync.Mutex
	hops []hop // oldest first
}

type hop struct {
	client, location string
	from             *http.Request
	at               time.Time
}

const (
	redirectAge  = 10 * time.Minute
	redirectKeep = 512
	redirectHops = 5
)

func newRedirects() *redirects { return &redirects{} }

// location is where resp points, absolute; nil if it is no redirect.
func location(req *http.Request, resp *http.Response) *url.URL {
	if resp.StatusCode/100 != 3 || resp.Header.Get("Location") == "" {
		return nil
	}
	u, err := req.URL.Parse(resp.Header.Get("Location"))
	if err != nil {
		return nil
	}
	u.Fragment = ""
	return u
}

// note remembers a redirect of client's.
func (m *redirects) note(client string, req *http.Request, resp *http.Response) {
	to := location(req, resp)
	if to == nil {
		return
	}
	h := hop{client, to.String(), req.Clone(req.Context()), time.Now()}
	m.mu.Lock()
	defer m.mu.Unlock()
	old := time.Now().Add(-redirectAge)
	m.hops = slices.DeleteFunc(m.hops, func(o hop) bool {
		return o.at.Before(old) || o.client == h.client && o.location == h.location
	})
	if len(m.hops) >= redirectKeep {
		m.hops = m.hops[1:]
	}
	m.hops = append(m.hops, h)
}

// origin is the first request of the chain of redirects that led client to u.
func (m *redirects) origin(client string, u *url.URL) *http.Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found *http.Request
	at := u.String()
	for range redirectHops {
		i := slices.IndexFunc(m.hops, func(h hop) bool {
			return h.client == client && h.location == at && time.Since(h.at) < redirectAge
		})
		if i < 0 {
			break
		}
		found = m.hops[i].from
		at = found.URL.String()
	}
	return found
}

// maxRenewals bounds how often a download asks for a fresh target.
const maxRenewals = 16

// renew asks the origin of the download's redirect for a fresh target when the
// old one has expired. It reports whether slices may be tried again; whether
// the new target has the same version, their checks decide. What a peer is
// refused may be due to its address: it never makes the client's request be
// repeated, but it profits from a target renewed meanwhile.
func (d *Download) renew(src sched.SourceID, asked *http.Request, bad *fault) bool {
	switch bad.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusGone:
	default:
		return false
	}
	d.mu.Lock()
	peer, fresh := d.sources[src-1].Kind() == KindPeer, d.url.URL.String() != asked.URL.String()
	d.mu.Unlock()
	if peer {
		return fresh
	}
	select {
	case d.renewing <- struct{}{}:
		defer func() { <-d.renewing }()
	case <-d.ctx.Done():
		return false
	}
	d.mu.Lock()
	now, n, client := d.url, d.renewed, d.ownerLocked()
	d.mu.Unlock()
	if now.URL.String() != asked.URL.String() {
		return true // somebody else has renewed it meanwhile
	}
	if n >= maxRenewals {
		return false
	}
	to := d.transport.follow(d, client, now)
	if to == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.renewed++
	if to.URL.Host != d.target.URL.Host {
		d.target.Edge = Target{}.Edge
		d.dropLanesLocked()
	}
	d.target.URL, d.url = to.URL, to
	d.sources[0].refused = false
	return true
}

// follow repeats the request that once led to now and returns the request for
// where it leads today, or nil.
func (t *Transport) follow(d *Download, client string, now *http.Request) *http.Request {
	from := t.Engine.redirect.origin(client, now.URL)
	if from == nil {
		return nil
	}
	req := from.Clone(d.ctx)
	for _, f := range ownFields {
		req.Header.Del(f)
	}
	for range redirectHops {
		resp, err := t.own().RoundTrip(req)
		if err != nil {
			return nil
		}
		to := location(req, resp)
		if to != nil {
			t.Engine.redirect.note(client, req, resp)
		}
		resp.Body.Close()
		if to == nil {
			return nil
		}
		next := now.Clone(d.ctx)
		next.URL, next.Host = to, ""
		if to.Host != now.URL.Host { // credentials are for the host they were sent to
			next.Header.Del("Cookie")
			next.Header.Del("Authorization")
		}
		if to.Path == now.URL.Path && to.Host == now.URL.Host || d.sameTarget(next) {
			return next
		}
		req = next
	}
	return nil
}

// sameTarget asks for one byte of next to see whether it is a target and not
// another redirect.
func (d *Download) sameTarget(next *http.Request) bool {
	probe := next.Clone(d.ctx)
	for _, f := range ownFields {
		probe.Header.Del(f)
	}
	r := Range{Start: 0, End: 1}
	probe.Header.Set("Range", formatRange(r))
	resp, err := d.transport.own().RoundTrip(probe)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return d.version.check(resp, r) == nil
}
