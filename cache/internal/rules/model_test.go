package rules

import (
	"net/http"
	"testing"
	"time"
)

// model is a cache in memory, as small as the rules allow: what the package
// cache does with them, without bytes.
type model struct {
	now  time.Time
	have map[string][]*Stored
}

// result is what a client got. how is hit, validated or forward.
type result struct {
	status int
	header http.Header
	how    string
}

// upstream is the origin; ok is false when it cannot be reached.
type upstream func(req Request) (resp Response, ok bool)

func (m *model) do(t *testing.T, req Request, up upstream) result {
	t.Helper()
	have := m.have[req.Key.ID]
	d := Decide(req, have, m.now)
	switch d.Verdict {
	case GatewayTimeout:
		return result{http.StatusGatewayTimeout, nil, "hit"}
	case Serve, ServeStale:
		if a := Evaluate(req, have[d.At]); a.Held {
			status, h := Respond(have[d.At], a, m.now, false)
			return result{status, h, "hit"}
		}
	}
	asked := req
	if d.Verdict == Validate || d.Fwd == FwdVaryMiss {
		asked.Header = Revalidation(req, have, d.At)
	}
	resp, ok := up(asked)
	if (!ok || failure(resp.Status)) && d.At >= 0 && StaleOnError(req, have[d.At], resp.Status, m.now) {
		status, h := Respond(have[d.At], Evaluate(req, have[d.At]), m.now, false)
		return result{status, h, "hit"}
	}
	if !ok {
		return result{http.StatusBadGateway, nil, "forward"}
	}
	if resp.Status == http.StatusNotModified {
		return m.notModified(t, req, d.At, resp, up)
	}
	m.keep(req, resp)
	return result{resp.Status, resp.Header, "forward"}
}

func (m *model) notModified(t *testing.T, req Request, at int, resp Response, up upstream) result {
	t.Helper()
	have := m.have[req.Key.ID]
	update, own := Freshen(req, have, at, resp)
	if len(update) == 0 && own {
		return result{resp.Status, resp.Header, "forward"}
	}
	if len(update) == 0 {
		resp, _ := up(req)
		m.keep(req, resp)
		return result{resp.Status, resp.Header, "forward"}
	}
	var last Stored
	for _, i := range update {
		updated, effect := Refresh(have[i], req, resp)
		last = updated
		switch effect {
		case Replace:
			have[i] = &updated
		case Drop:
			have[i].Invalid = true
		}
	}
	status, h := Respond(&last, Evaluate(req, &last), m.now, true)
	return result{status, h, "validated"}
}

func (m *model) keep(req Request, resp Response) {
	for _, u := range Invalidated(req.Method, req.URL, resp.Status, resp.Header) {
		k, _ := KeyOf(u, nil)
		delete(m.have, k.ID)
	}
	id := req.Key.ID
	for i, s := range m.have[id] {
		switch FreshenByHead(req, s, resp) {
		case HeadUpdates:
			updated, _ := Refresh(s, req, resp)
			m.have[id][i] = &updated
		case HeadEnds:
			s.Invalid = true
		}
	}
	if ok, _ := Storable(req, resp); !ok {
		return
	}
	s := Keep(req, resp)
	s.Complete = resp.Status != http.StatusPartialContent
	for i, o := range m.have[id] {
		if SecondaryKey(s.Header, s.Select) == SecondaryKey(o.Header, o.Select) {
			m.have[id][i] = &s
			return
		}
	}
	m.have[id] = append(m.have[id], &s)
}
