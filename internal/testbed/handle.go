package testbed

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// request is one request on its way through the origin.
type request struct {
	o      *Origin
	r      *http.Request
	w      http.ResponseWriter
	conn   *conn
	key    string
	opt    Options
	number int
	reply  *reply
	entry  *Entry
	rate   int64 // trickle, 0 = none
}

func (o *Origin) handle(w http.ResponseWriter, r *http.Request) {
	o.busy.add(1)
	defer o.busy.add(-1)
	if strings.HasPrefix(r.URL.Path, "/_") {
		o.Control().ServeHTTP(w, r)
		return
	}
	q := &request{o: o, r: r, w: w, conn: connOf(r.Context()), key: key(r.URL)}
	q.entry = o.log.begin(q)
	defer o.log.end(q)
	limits := o.pace.current()
	if q.conn.over != "" {
		q.refuse(q.conn.over, limits)
		return
	}
	if !o.files.begin(q.conn.ip, limits.MaxRequests) {
		q.refuse(limits.OverReqs, limits)
		return
	}
	defer o.files.end(q.conn.ip)
	q.serve()
}

// note writes into the log entry, which others may be reading.
func (q *request) note(f func(*Entry)) { q.o.log.update(func() { f(q.entry) }) }

// refuse is what a connection or request above the limits gets.
func (q *request) refuse(p Policy, l Limits) {
	q.note(func(e *Entry) { e.Fault = "limit" })
	q.reply = &reply{header: http.Header{}}
	switch p {
	case Reset, Refuse:
		q.reply.before = reset
	case Hang:
		q.reply.before = stall
	case Answer429:
		q.reply.fail(http.StatusTooManyRequests, l.RetryAfter)
	default:
		q.reply.fail(http.StatusServiceUnavailable, l.RetryAfter)
	}
	if q.conn.over != "" {
		q.reply.header.Set("Connection", "close")
	}
	q.send()
}

func (q *request) serve() {
	opt, err := parseOptions(q.o.cfg.Defaults, q.r.URL)
	if err != nil && !opt.sized && q.o.cfg.Files != nil {
		q.serveFile() // a query of its own, like git's ?service=
		return
	}
	if err != nil {
		http.Error(q.w, err.Error(), http.StatusBadRequest)
		q.note(func(e *Entry) { e.Status = http.StatusBadRequest })
		return
	}
	q.opt = opt
	if !opt.sized {
		q.serveFile()
		return
	}
	if wait(q.r.Context(), opt.TTFB) != nil {
		return
	}
	if opt.Redirect != 0 && opt.sig == "" {
		q.redirect()
		return
	}
	q.plan()
	for i := range q.opt.Faults {
		f := &q.opt.Faults[i]
		if f.applies(q) && q.o.files.fire(q.key, i, f.Times) {
			f.alter(q.reply)
			q.note(func(e *Entry) { e.addFault(f.Kind) })
		}
	}
	q.send()
}

// serveFile hands over to Config.Files and logs the status.
func (q *request) serveFile() {
	if q.o.cfg.Files == nil {
		http.Error(q.w, "the first path element is a size: /64MiB/name", http.StatusNotFound)
		q.note(func(e *Entry) { e.Status = http.StatusNotFound })
		return
	}
	q.o.cfg.Files.ServeHTTP(&counted{q.w, q}, q.r)
}

func (q *request) redirect() {
	query := q.r.URL.Query()
	query.Set("sig", q.o.files.sign(q.key, q.opt))
	to := url.URL{Path: q.r.URL.Path, RawQuery: query.Encode()}
	q.w.Header().Set("Location", strings.TrimSuffix(q.opt.To, "/")+to.String())
	q.w.WriteHeader(q.opt.Redirect)
	q.note(func(e *Entry) { e.Status = q.opt.Redirect })
}

// plan makes the reply that a faultless server would give.
func (q *request) plan() {
	opt := q.opt
	number, version, modified := q.o.files.enter(q.key, opt)
	q.number = number
	q.note(func(e *Entry) { e.Number = number })
	etag := tag(opt, number, version, localAddr(q.r))
	content := opt.content()
	content.Seed += version
	p := &reply{header: describe(opt, etag, modified), content: content}
	q.reply = p
	p.whole()
	switch {
	case opt.sig != "" && !q.o.files.redeem(opt.sig), opt.Once && number > 1:
		p.fail(http.StatusForbidden, 0)
		return
	case q.r.Method != http.MethodGet && q.r.Method != http.MethodHead:
		p.fail(http.StatusMethodNotAllowed, 0)
		return
	}
	if code := precondition(q.r, etag, modified); code != 0 {
		p.status, p.parts, p.length = code, nil, 0
		return
	}
	if opt.Gzip && strings.Contains(q.r.Header.Get("Accept-Encoding"), "gzip") {
		p.compress()
		return
	}
	q.planRange(etag, modified)
	if opt.Chunked {
		p.length = -1
	}
}

func (q *request) planRange(etag string, modified time.Time) {
	field := q.r.Header.Get("Range")
	if field == "" || q.r.Method != http.MethodGet || q.opt.Ranges == "none" || !ifRange(q.r, etag, modified) {
		return
	}
	parts, ok := parseRange(field, q.opt.Size)
	if !ok {
		return
	}
	if len(parts) == 0 {
		q.reply.fail(http.StatusRequestedRangeNotSatisfiable, 0)
		q.reply.header.Set("Content-Range", fmt.Sprintf("bytes */%d", q.opt.Size))
		return
	}
	q.reply.ranges(parts)
}

func localAddr(r *http.Request) string {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return a.String()
	}
	return ""
}

// counted logs what another handler answers.
type counted struct {
	http.ResponseWriter
	q *request
}

func (c *counted) WriteHeader(code int) {
	c.q.note(func(e *Entry) { e.Status = code })
	c.ResponseWriter.WriteHeader(code)
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.q.note(func(e *Entry) {
		e.Status = max(e.Status, http.StatusOK)
		e.Written += int64(n)
	})
	return n, err
}

func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// lengthField is Content-Length as the reply wants it, "" for none.
func (p *reply) lengthField() string {
	if p.rawLength != "" {
		return p.rawLength
	}
	if p.length < 0 || p.http10 || p.status == http.StatusNotModified {
		return ""
	}
	return strconv.FormatInt(p.length, 10)
}
