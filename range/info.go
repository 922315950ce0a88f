package ranges

import (
	"net/url"
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
	of   listed // nil once it is settled
	last Info   // what there was to say in the end
}

// listed is what the list says something of: a Download, or what is passed on.
type listed interface {
	info() Info
	finished() bool
}

func (en *entry) finished() bool { return en.of == nil || en.of.finished() }

func (d *Download) finished() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.done.IsZero()
}

func (w *watched) finished() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.done.IsZero()
}

// settle keeps what an entry says from now on, and nothing else of what it was of:
// requests with their credentials, plans, connections.
func (e *Engine) settle(en *entry, last Info) {
	e.mu.Lock()
	defer e.mu.Unlock()
	en.of, en.last = nil, last
}

// Downloads lists the running downloads and the last finished ones, newest first.
func (e *Engine) Downloads() []Info {
	e.init()
	e.mu.Lock()
	entries := make([]entry, len(e.log))
	for i, en := range e.log {
		entries[i] = *en
	}
	e.mu.Unlock()
	out := make([]Info, 0, len(entries))
	for i := len(entries) - 1; i >= 0; i-- {
		if en := &entries[i]; en.of != nil {
			out = append(out, en.of.info())
		} else {
			out = append(out, en.last)
		}
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
	for _, r := range d.readers {
		i.StallMS = max(i.StallMS, r.stallLocked().Milliseconds())
	}
	i.Rate = float64(i.Sent) / max(i.Seconds, 0.001)
	for k, o := range d.sources {
		s := d.plan.Stats(schedID(k), d.now())
		fault := o.last
		if s.Parked {
			fault = "shares this machine's uplink"
		}
		if !d.done.IsZero() {
			s.Open = 0 // closed with the download
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
