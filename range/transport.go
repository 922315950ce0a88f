package ranges

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"dtpx/range/internal/sched"
)

// Transport is an http.RoundTripper that accelerates large GETs. It is safe
// for concurrent use.
type Transport struct {
	// Base sends the clients' own requests, and the connections of slices
	// are modelled on it. It must not decompress. Required.
	Base *http.Transport
	// Own, if set, sends the clients' own requests in the place of Base; see Framed.
	Own *http.Transport
	// Engine is shared by Transports of one program. Required.
	Engine *Engine
	// Realm separates Transports of one Engine: downloads are never shared
	// between realms.
	Realm string
}

// DownloadField is the response header field that names the download; see
// Engine.Downloads.
const DownloadField = "Dtpx-Download"

// RoundTrip sends req and, when the response is worth it, begins to fetch the
// rest of its body from more than one place.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	e := t.Engine
	e.init()
	if req.Method != http.MethodGet || req.Header.Get("Upgrade") != "" || req.Body != nil && req.Body != http.NoBody {
		way := t.own()
		if req.Header.Get("Upgrade") != "" {
			way = t.Base // which makes HTTP/1.1 of it where it has to
		}
		resp, err := way.RoundTrip(req)
		if err == nil {
			e.written(req, resp.StatusCode)
		}
		return resp, err
	}
	if resp, err, ok := t.join(req); ok {
		return resp, err
	}
	first, resp, err := t.first(req)
	first, resp, err = t.again(first, req, resp, err)
	if err != nil {
		first.drop()
		return nil, err
	}
	e.redirect.note(clientOf(req.Context()).Name, req, resp)
	return t.accelerate(req, first, resp), nil
}

func (t *Transport) own() *http.Transport {
	if t.Own != nil {
		return t.Own
	}
	return t.Base
}

// probe is the client's own request on its way: the first look at the
// resource, and slice 0.
type probe struct {
	t        *Transport
	req      *http.Request
	cancel   context.CancelFunc
	release  func() bool // ends the tie to the client's context
	edge     atomic.Pointer[netip.AddrPort]
	wrote    atomic.Int64 // UnixNano of the request's last byte
	writes   int64        // Engine.writes when it was made
	duration time.Duration
	conn     atomic.Pointer[net.Conn] // that it went out on

	connected chan struct{} // closed when it has a connection that lives
	once      sync.Once
	kept      atomic.Pointer[net.Conn] // one from before, not yet known to live
	via       Source                   // a peer that it goes through by lane; nil = directly
	lane      Lane
}

// probe ties the request to the client only until its response belongs to a
// download, which may outlive this client.
func (t *Transport) probe(req *http.Request) *probe {
	p := &probe{t: t, connected: make(chan struct{}), writes: t.Engine.writes.Load()}
	ctx, cancel := context.WithCancel(context.WithoutCancel(req.Context()))
	p.cancel = cancel
	p.release = context.AfterFunc(req.Context(), cancel)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			p.conn.Store(&i.Conn)
			if i.Reused {
				p.keep(i.Conn)
			} else { // perhaps after a kept one was closed by the server
				p.kept.Store(nil)
				p.lives()
			}
			if a, err := netip.ParseAddrPort(i.Conn.RemoteAddr().String()); err == nil {
				p.edge.Store(&a)
			}
		},
		GotFirstResponseByte: p.lives,
		WroteRequest:         func(httptrace.WroteRequestInfo) { p.wrote.Store(time.Now().UnixNano()) },
	})
	p.req = req.WithContext(ctx)
	return p
}

// drop ends what ties the probe to the client's context, which may live much longer.
func (p *probe) drop() {
	p.release()
	p.cancel()
}

// pass returns resp for the client to read, as what it is.
func (p *probe) pass(resp *http.Response) *http.Response {
	if resp.Body == http.NoBody {
		p.drop()
	} else {
		resp.Body = &passing{ReadCloser: resp.Body, drop: sync.OnceFunc(p.drop)}
	}
	return resp
}

// passing is the body of a response that is passed on.
type passing struct {
	io.ReadCloser
	drop func()
}

func (b *passing) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.drop()
	}
	return n, err
}

func (b *passing) Close() error {
	defer b.drop()
	return b.ReadCloser.Close()
}

func (p *probe) lives() { p.once.Do(func() { close(p.connected) }) }

func (p *probe) send() (*http.Response, error) {
	began := time.Now()
	way := http.RoundTripper(p.t.own())
	if p.lane != nil {
		way = p.lane
	}
	resp, err := way.RoundTrip(p.req)
	if w := p.wrote.Load(); w != 0 {
		began = time.Unix(0, w)
	}
	p.duration = max(time.Since(began), 0)
	if c := p.conn.Load(); err == nil && p.lane == nil && c != nil {
		reframe(resp, *c)
	}
	return resp, err
}

// path is the round trip to the origin without its time to answer; 0 = unknown.
func (p *probe) path() time.Duration {
	if c := p.conn.Load(); c != nil && p.via == nil && !p.t.proxied(p.req) {
		return roundTrip(*c)
	}
	return 0
}

func (p *probe) target() Target {
	tg := Target{URL: p.req.URL, Credentials: hasCredentials(p.req.Header), Vouched: isVouched(p.req.Context())}
	if a := p.edge.Load(); a != nil && p.via == nil && !p.t.proxied(p.req) {
		tg.Edge = *a
	}
	return tg
}

// proxied reports that a parent proxy stands between us and the origin.
func (t *Transport) proxied(req *http.Request) bool {
	if t.Base.Proxy == nil {
		return false
	}
	u, err := t.Base.Proxy(req)
	return u != nil || err != nil
}

func hasCredentials(h http.Header) bool {
	return h.Get("Cookie") != "" || h.Get("Authorization") != ""
}

// accelerate makes resp the slice 0 of a download if it can be; otherwise it
// returns resp with the reason noted.
func (t *Transport) accelerate(client *http.Request, p *probe, resp *http.Response) *http.Response {
	e := t.Engine
	asked, _, _ := ParseRange(p.req.Header.Values("Range"))
	v, r, reason := eligible(resp, asked)
	size := r.Len()
	if reason != "" {
		size = resp.ContentLength
	}
	if size >= 0 && size < e.MinSize || resp.StatusCode/100 != 2 {
		return p.pass(resp) // small: not worth a word
	}
	switch {
	case reason != "":
	case e.Disabled:
		reason = "acceleration is off"
	case e.never(p.req.URL.Hostname()):
		reason = "host is in accelerate.never"
	case e.Hosts.get(p.req.URL).NoRanges:
		reason = "this server is known to ignore ranges"
	}
	if reason == "" {
		d := t.newDownload(p, resp, v)
		if e.Memory.enter(d) {
			d.plan.SetWindow(e.Memory.grant(d, 0, e.Window))
			return t.begin(client, p, d, resp, r)
		}
		reason = "memory is short"
	}
	return e.watch(p.req, p.pass(resp), reason)
}

// begin starts d and replaces the body of its first response.
func (t *Transport) begin(client *http.Request, p *probe, d *Download, resp *http.Response, r Range) *http.Response {
	e := t.Engine
	p.release()
	context.AfterFunc(d.ctx, p.cancel)
	orig := *resp
	d.keeper = keeperOf(client.Context(), resp, d.version.total)
	resp.Header.Set(DownloadField, d.id)
	resp.Body = d.start(client, &orig, r, p)
	e.mu.Lock()
	if e.writes.Load() != p.writes { // perhaps of something else: then to ask first costs a question
		d.written.Store(true)
	}
	e.active[d.key] = append(e.active[d.key], d) // from here on others may join
	e.mu.Unlock()
	e.remember(d.listing, partsIn(d.ctx))
	return resp
}

func (t *Transport) newDownload(p *probe, resp *http.Response, v version) *Download {
	e := t.Engine
	d := &Download{
		engine: e, transport: t, id: newID(), key: t.key(p.req), target: p.target(), version: v,
		header: resp.Header.Clone(), status: resp.StatusCode, began: time.Now(),
		kick: make(chan struct{}, 1), over: make(chan struct{}), played: played(p.req, resp, v.total), renewing: make(chan struct{}, 1), store: e.NewStore(), fetches: map[sched.ID]*fetch{},
	}
	d.listing = &entry{of: d}
	if resp.Header.Get("Content-Encoding") != "" {
		d.target.Vouched = false // nobody can tell whether the digest is of the coded form
	}
	d.ctx, d.cancel = context.WithCancel(context.WithoutCancel(p.req.Context()))
	d.request = p.req.WithContext(d.ctx)
	d.url = d.request
	facts := e.Hosts.get(p.req.URL)
	known := facts.Ranges && float64(v.total) > 2*facts.Rate
	params := sched.Default(v.total, e.Window)
	if e.tune != nil {
		e.tune(&params)
	}
	d.drainSize = params.Drain
	params.Shown = d.played
	d.plan = sched.New(params, v.total, known)
	t.addSources(d, facts)
	return d
}
