package testbed

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// faults alter a reply, in the order in which the URL names them.
var faults = map[string]func(f *Fault, p *reply){
	"ignore-range": func(_ *Fault, p *reply) { p.whole() },
	"wrong-range":  wrongRange,
	"wrong-total": func(f *Fault, p *reply) {
		if len(p.parts) == 1 && p.status == http.StatusPartialContent {
			p.header.Set("Content-Range", contentRange(p.parts[0], p.content.Size+f.number(1)))
		}
	},
	"no-content-range": func(_ *Fault, p *reply) { p.header.Del("Content-Range") },
	"bad-content-range": func(f *Fault, p *reply) {
		p.header.Set("Content-Range", f.value("bytes 0-/x"))
	},
	"bad-length": func(f *Fault, p *reply) { p.raw, p.rawLength = true, f.value("-5") },
	"short-206":  func(f *Fault, p *reply) { p.resize(-f.number(1)) },
	"long-206":   func(f *Fault, p *reply) { p.resize(f.number(1)) },
	"extra":      func(f *Fault, p *reply) { p.raw, p.extra = true, f.number(16) },
	"shifted":    func(f *Fault, p *reply) { p.shift = f.number(1) },
	"corrupt":    func(_ *Fault, p *reply) { p.flip = true },
	"new-etag":   func(f *Fault, p *reply) { p.header.Set("ETag", f.value(`"another"`)) },
	"new-version": func(f *Fault, p *reply) {
		p.header.Set("ETag", f.value(`"another"`))
		p.content.Seed++
	},
	"no-etag": func(_ *Fault, p *reply) {
		p.header.Del("ETag")
		p.header.Del("Last-Modified")
	},
	"multipart": func(_ *Fault, p *reply) { p.multipart() },
	"gzip":      func(_ *Fault, p *reply) { p.compress() },
	"chunked":   func(_ *Fault, p *reply) { p.length = -1 },
	"http10":    func(_ *Fault, p *reply) { p.raw, p.http10 = true, true },

	"slow-headers": func(f *Fault, p *reply) { p.before = pause(f.duration(2 * time.Second)) },
	"hang":         func(_ *Fault, p *reply) { p.before = stall },
	"drop":         func(_ *Fault, p *reply) { p.before = abort },
	"drop-reset":   func(_ *Fault, p *reply) { p.before = reset },

	"truncate": func(f *Fault, p *reply) { p.at(f.After, abort) },
	"reset":    func(f *Fault, p *reply) { p.at(f.After, reset) },
	"stall":    func(f *Fault, p *reply) { p.at(f.After, stall) },
	"pause":    func(f *Fault, p *reply) { p.at(f.After, pause(f.duration(time.Second))) },
	"trickle": func(f *Fault, p *reply) {
		rate := max(1, f.Rate)
		if f.Rate == 0 {
			rate = 1 << 10
		}
		p.at(f.After, func(q *request) error { q.rate = rate; return nil })
	},
}

// wrongRange stays honest about what it sends, so only the range is wrong.
func wrongRange(f *Fault, p *reply) {
	if p.status != http.StatusPartialContent || len(p.parts) != 1 {
		return
	}
	part, n := &p.parts[0], f.number(1)
	if part.off+part.n+n > p.content.Size || part.off+n < 0 {
		n = -n
	}
	if part.off+n < 0 { // nothing to move in: make it shorter
		part.off, part.n, p.length = part.off+1, part.n-1, part.n-1
	} else {
		part.off += n
	}
	p.header.Set("Content-Range", contentRange(*part, p.content.Size))
}

// A step happens at a place of the body. Its error ends the reply.
type step func(q *request) error

func abort(*request) error { return io.ErrUnexpectedEOF }

func reset(q *request) error {
	q.conn.Reset()
	return fmt.Errorf("reset on purpose")
}

func stall(q *request) error {
	select {
	case <-q.r.Context().Done():
	case <-q.conn.ctx.Done():
	}
	return context.Canceled
}

func pause(d time.Duration) step {
	return func(q *request) error { return wait(q.r.Context(), d) }
}
