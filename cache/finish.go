package cache

import (
	"context"
	"io"

	"dtpx/cache/internal/disk"
	ranges "dtpx/range"
)

// What a client leaves behind is fetched to its end where most of it is there, and
// this machine's allowance bears it: whoever asks next shall not have paid for it in
// vain.
const (
	finishShare = 0.8
	finishMax   = 64 << 20
)

// Spare makes the cache ask whether n bytes of the internet link are left for what no
// client waits for. It is to be called before the first request.
func (c *Cache) Spare(ask func(n int64) bool) { c.spare = ask }

func (c *Cache) spares(n int64) bool { return c.spare == nil || c.spare(n) }

// left is called when a client has gone before the end of what is being kept in e.
func (v *visit) left(e *disk.Entry) {
	held := int64(0)
	for _, r := range e.Held() {
		held += r.End - r.Start
	}
	rest := e.Total() - held
	if rest == 0 || rest > finishMax || float64(held) < finishShare*float64(e.Total()) || !v.shareable() {
		return
	}
	if m, err := v.c.metas.of(e); err != nil || m.Unproven != nil {
		return // whoever asks next has to look at it anyway
	}
	if !v.c.spares(rest) {
		return
	}
	id := e.ID()
	v.c.goOn("finish "+id.String(), func(ctx context.Context) { v.finish(ctx, id) })
}

// finish fetches what is missing of an entry.
func (v *visit) finish(ctx context.Context, id disk.ID) {
	in := v.in.Clone(ranges.WithClient(ctx, ranges.Client{Name: "cache", Background: true}))
	in.Header.Del("Range")
	in.Header.Del("If-Range")
	again := &visit{t: v.t, c: v.c, in: in}
	if again.admit() != "" {
		return
	}
	again.find()
	defer func() { releaseAll(again.have) }()
	for i, o := range again.have {
		if o.entry == nil || o.entry.ID() != id {
			continue
		}
		for at := int64(0); at < o.total(); {
			if at = firstMissing(o.entry, at); at == o.total() || again.c.lives.at(id, at) != nil {
				return
			}
			g, resp, err := again.openGap(ctx, o, again.known[i], at, o.total(), false)
			if err != nil {
				if resp != nil {
					resp.Body.Close()
				}
				return
			}
			_, err = io.Copy(io.Discard, g.body)
			g.close()
			if at = g.end; err != nil {
				return
			}
		}
	}
}
