package cache

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"

	"dtpx/cache/internal/digests"
	"dtpx/cache/internal/disk"
	"dtpx/cache/internal/rules"
)

// Where neighbours could be of use, the digests that pass by are noted: what an
// answer says of its own content or of where it redirects to, and the lists that
// distributions and registries publish.

// sociable reports that there is somebody whom digests could be of use for.
func (c *Cache) sociable() bool { return c.lan != nil && len(c.lan.list()) > 0 }

// noteDigests notes what answer says.
func (v *visit) noteDigests(answer rules.Response) {
	if !v.c.sociable() {
		return
	}
	if said := rules.Digests(v.in.URL, answer); len(said) > 0 {
		v.c.digests.Say(v.req.Key.ID, said[0])
		v.c.digests.Gives(hostOf(v.in))
	}
	if to, err := url.Parse(answer.Header.Get("Location")); err == nil && answer.Status/100 == 3 {
		v.noteRedirect(v.in.URL.ResolveReference(to), answer)
	}
}

func (v *visit) noteRedirect(to *url.URL, answer rules.Response) {
	k, err := rules.KeyOf(to, v.c.o.Keys)
	if err != nil {
		return
	}
	d, linked := rules.LinkedDigest(v.in.URL, to, answer.Status, answer.Header)
	if linked {
		v.c.digests.Say(k.ID, d)
	}
	if k.Signed && (linked || k.Digest != rules.Digest{}) {
		v.noteLink(to)
	}
}

// learn reads a list that is kept in e whole.
func (v *visit) learn(e *disk.Entry) {
	v.compare(e)
	list, m := v.listed(e)
	if list == nil {
		return
	}
	id := e.ID()
	v.c.goOn("digests "+id.String(), func(context.Context) {
		if e, ok := v.c.store.Get(id); ok {
			defer e.Release()
			v.c.read(list, m, io.NewSectionReader(e, 0, e.Total()))
		}
	})
}

func (v *visit) listed(e *disk.Entry) (*digests.List, *meta) {
	if !v.c.sociable() || v.in.Method != http.MethodGet || e.Total() > digests.MostRead || !e.Complete() {
		return nil, nil
	}
	m, err := v.c.metas.of(e)
	if err != nil || m.Unproven != nil || m.Status != http.StatusOK {
		return nil, nil // what a neighbour gave says nothing about others
	}
	list, ok := digests.Find(v.in.URL, m.Header)
	if !ok {
		return nil, nil
	}
	return list, m
}

// learnSmall reads one that is in memory.
func (v *visit) learnSmall(m *meta, body []byte) {
	if !v.c.sociable() || m.Status != http.StatusOK {
		return
	}
	list, ok := digests.Find(v.in.URL, m.Header)
	if !ok {
		return
	}
	v.c.goOn("digests "+m.Key, func(context.Context) { v.c.read(list, m, bytes.NewReader(body)) })
}

func (c *Cache) read(list *digests.List, m *meta, r io.Reader) {
	all, err := list.Read(r, m.Header.Get("Content-Encoding"), c.o.Keys)
	if err == nil && len(all) > 0 {
		err = c.digests.Learn(m.Key, list.Base(), all)
	}
	c.log.Debug("digests", "said", len(all), "err", err)
}
