package cache

import (
	"net/http"
	"time"

	"dtpx/cache/internal/disk"
	"dtpx/cache/internal/rules"
	ranges "dtpx/range"
)

// Plain http, which most of apt is, can be fetched over the lines of members as well
// where a digest covers the body (design, decision 3): whoever carries a part could
// alter it, so the last slice is held back as for a neighbour's bytes, and what is
// kept is unproven until it matches. Who of several lied cannot be told: after one
// wrong body no plain http goes over members for carryPause.

const carryPause = 24 * time.Hour

// altered is an accelerated body; see ranges.Reader.
type altered interface{ Altered() bool }

// carries reports whether ask may be carried by members, and what its body has to be.
func (v *visit) carries(ask *http.Request) *unproven {
	if ask.URL.Scheme != "http" || ask.Method != http.MethodGet || ask.Header.Get("Range") != "" || !v.shareable() || !v.c.sociable() || !plainOnly(ask.Header) {
		return nil
	}
	d, _, ok := v.vouched()
	if !ok || v.c.lan.paused() {
		return nil
	}
	return &unproven{Algo: d.Algo, Hex: d.Hex}
}

// plainOnly reports that no content coding is asked for, which a digest from a list
// or a URL would not be of.
func plainOnly(h http.Header) bool {
	for _, c := range h.Values("Accept-Encoding") {
		if c != "" && c != "identity" {
			return false
		}
	}
	return true
}

// carried returns resp with a body that is checked, if members may have a part in it.
func (k *keeper) carried(resp *http.Response, from altered) *http.Response {
	v, c, u := k.v, k.v.c, k.carry
	var id disk.ID
	if k.entry != nil {
		id = k.entry.ID()
	}
	key := v.req.Key.ID
	body := check(resp.Body, resp.ContentLength, u, func(right bool) error {
		switch {
		case right:
			c.proveLater(id)
		case !from.Altered(): // as the origin has it; what was said of it is out of date
			c.digests.Doubt(key)
			c.absolve(id)
		default:
			c.store.Remove(id)
			c.digests.Doubt(key)
			c.stats.wrong.Add(1)
			c.lan.pause()
			return errWrong
		}
		return nil
	})
	body.gone = func() {
		if !from.Altered() {
			c.absolve(id)
		}
	}
	resp.Body = body
	return resp
}

// absolve takes an entry for what it is.
func (c *Cache) absolve(id disk.ID) {
	e, ok := c.store.Get(id)
	if !ok {
		return
	}
	defer e.Release()
	m, err := c.metas.of(e)
	if err != nil || m.Unproven == nil {
		return
	}
	c.accept(e, m)
}

// accept makes an unproven entry an ordinary one.
func (c *Cache) accept(e *disk.Entry, m *meta) {
	n := *m
	n.Unproven = nil
	if raw, err := n.encode(); err == nil && e.SetMeta(raw) == nil {
		c.displace(rules.Key{ID: n.Key}, &n, e.ID())
	}
}

// pause keeps plain http away from members.
func (l *lan) pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noCarry = l.c.o.Now().Add(carryPause)
	l.c.log.Warn("what members carried by plain http is not what the origin's digest says; no plain http goes over them for now", "for", carryPause)
}

func (l *lan) paused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.c.o.Now().Before(l.noCarry)
}

var _ altered = (*ranges.Reader)(nil)
