package ranges

import (
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Info describes a download, running or finished, as /api/v1/downloads prints it.
type Info struct {
	ID        string       `json:"id"`
	URL       string       `json:"url"` // without its query, which may be a secret
	Client    string       `json:"client"`
	Size      int64        `json:"size"` // -1 when unknown
	Sent      int64        `json:"sent"`
	State     string       `json:"state"` // running, done, failed, cancelled
	Started   time.Time    `json:"started"`
	Seconds   float64      `json:"seconds"`
	Rate      float64      `json:"rate"` // bytes/s to the client, mean
	Validator string       `json:"validator,omitempty"`
	Cache     string       `json:"cache"`
	Reason    string       `json:"reason,omitempty"` // why not accelerated
	Note      string       `json:"note,omitempty"`   // what a user may want to know about the sources
	Error     string       `json:"error,omitempty"`
	Sources   []SourceInfo `json:"sources"`
	StallMS   int64        `json:"stall_ms"` // longest wait of a client in mid-body
	Duplicate int64        `json:"duplicate_bytes"`
	Readers   int          `json:"readers"`
}

// SourceInfo describes one source of a download.
type SourceInfo struct {
	Kind        string  `json:"kind"`
	Name        string  `json:"name"`
	Bytes       int64   `json:"bytes"`
	Wasted      int64   `json:"wasted"`
	Rate        float64 `json:"rate"` // bytes/s over the last second
	Requests    int     `json:"requests"`
	State       string  `json:"state"`
	Connections int     `json:"connections"`
	Refused     int     `json:"refused,omitempty"`
	Error       string  `json:"error,omitempty"`
}

const noteQuotas = "the members' quotas are used up: the rest comes over this machine's own link"

// entry is a line of the list of downloads.
type entry struct {
	d *Download
	w *watched
}

func (en *entry) finished() bool {
	if en.d != nil {
		en.d.mu.Lock()
		defer en.d.mu.Unlock()
		return !en.d.done.IsZero()
	}
	en.w.mu.Lock()
	defer en.w.mu.Unlock()
	return !en.w.done.IsZero()
}

func (en *entry) info() Info {
	if en.d != nil {
		return en.d.info()
	}
	return en.w.info()
}

// Downloads lists the running downloads and the last finished ones, newest first.
func (e *Engine) Downloads() []Info {
	e.init()
	e.mu.Lock()
	entries := append([]*entry(nil), e.log...)
	e.mu.Unlock()
	out := make([]Info, 0, len(entries))
	for i := len(entries) - 1; i >= 0; i-- {
		out = append(out, entries[i].info())
	}
	return out
}

// redact drops what may be secret of a URL.
func redact(u *url.URL) string {
	r := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	if u.RawQuery != "" {
		return r.String() + "?…"
	}
	return r.String()
}

func (d *Download) info() Info {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := Info{
		ID: d.id, URL: redact(d.request.URL), Client: clientOf(d.ctx).Name, Size: d.version.total, Sent: d.sent,
		State: "running", Started: d.began, Seconds: since(d.began, d.done), Validator: d.version.validator.String(),
		Cache: "miss", StallMS: d.stalled.Milliseconds(), Readers: d.joined + 1,
	}
	switch {
	case d.err != nil:
		i.State, i.Error = "failed", d.err.Error()
	case d.served:
		i.State = "done"
	case d.closed, len(d.readers) == 0:
		i.State = "cancelled"
	}
	i.Rate = float64(i.Sent) / max(i.Seconds, 0.001)
	for k, o := range d.sources {
		s := d.plan.Stats(schedID(k), d.now())
		fault := o.last
		if s.Parked {
			fault = "shares this machine's uplink"
		}
		i.Sources = append(i.Sources, SourceInfo{
			Kind: o.Kind(), Name: o.Name(), Bytes: s.Fresh, Wasted: s.Wasted, Rate: s.Rate, Requests: s.Requests,
			State: stateOf(s, !d.done.IsZero()), Connections: s.Open, Refused: s.Refused, Error: fault,
		})
		i.Duplicate += s.Wasted
	}
	if !d.plan.Engaged() {
		i.Reason = "one connection was enough"
	}
	switch {
	case d.noPeers:
		i.Note = noteNoPeers
	case d.plan.Overdrawn():
		i.Note = noteQuotas
	}
	return i
}

// watched is a response that is not accelerated; only its bytes are counted.
type watched struct {
	io.ReadCloser
	e    *Engine
	once sync.Once

	mu   sync.Mutex
	i    Info
	done time.Time
}

// watch lists a large response that is passed on as it is.
func (e *Engine) watch(req *http.Request, resp *http.Response, reason string) *http.Response {
	w := &watched{ReadCloser: resp.Body, e: e, i: Info{
		ID: newID(), URL: redact(req.URL), Client: clientOf(req.Context()).Name, Size: resp.ContentLength,
		State: "running", Started: time.Now(), Cache: "bypass", Reason: reason, Sources: []SourceInfo{},
	}}
	if resp.ContentLength >= 0 {
		w.list()
		resp.Header.Set(DownloadField, w.i.ID)
	}
	resp.Body = w
	return resp
}

func (w *watched) list() { w.once.Do(func() { w.e.remember(&entry{w: w}) }) }

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.mu.Lock()
	w.i.Sent += int64(n)
	large := w.i.Sent >= w.e.MinSize
	switch {
	case err == io.EOF:
		w.finishLocked("done")
	case err != nil:
		w.i.Error = err.Error()
		w.finishLocked("failed")
	}
	w.mu.Unlock()
	if large {
		w.list()
	}
	return n, err
}

func (w *watched) finishLocked(state string) {
	if w.done.IsZero() {
		w.done, w.i.State = time.Now(), state
		w.e.stats.passed.Add(w.i.Sent)
	}
}

func (w *watched) Close() error {
	w.mu.Lock()
	w.finishLocked("cancelled")
	w.mu.Unlock()
	return w.ReadCloser.Close()
}

func (w *watched) info() Info {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.i
	i.Seconds = since(i.Started, w.done)
	i.Rate = float64(i.Sent) / max(i.Seconds, 0.001)
	i.Sources = []SourceInfo{{Kind: KindDirect, Bytes: i.Sent, Rate: i.Rate, Requests: 1, State: "alone"}}
	return i
}
