package ranges

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"sync"
	"time"
)

const (
	hostsKeep = 4096
	hostsAge  = 7 * 24 * time.Hour
	// soleAge is how long a number of connections is believed to be the right
	// one; shorter, because it may have been a busy hour.
	soleAge = 24 * time.Hour
)

// HostFacts is what downloads from one host have taught.
type HostFacts struct {
	Ranges   bool    `json:"ranges,omitempty"`    // slices were served
	NoRanges bool    `json:"no_ranges,omitempty"` // ranges were ignored, twice
	Ceiling  int     `json:"ceiling,omitempty"`   // connections it bears; 0 = unknown
	Lanes    int     `json:"lanes,omitempty"`     // connections that were worth having
	LanesAt  int64   `json:"lanes_at,omitempty"`  // unix seconds; when that was seen
	Rate     float64 `json:"rate,omitempty"`      // bytes/s of one connection
	NoPeers  bool    `json:"no_peers,omitempty"`  // two members were refused where we were served
	Barred   string  `json:"barred,omitempty"`    // keyed hash of the member refused last
	BarredAt int64   `json:"barred_at,omitempty"` // unix seconds
	Ignored  int     `json:"ignored,omitempty"`   // times ranges were ignored
	Count    int     `json:"count"`               // observations
	Seen     int64   `json:"seen"`                // unix seconds of the last one
}

// Hosts remembers HostFacts. It is no browsing log: hosts are stored under a
// keyed hash, per network, at most 4096 of them, for a week at most. It is
// safe for concurrent use.
type Hosts struct {
	mu      sync.Mutex
	key     []byte
	network string
	facts   map[string]HostFacts
	dirty   bool
}

// NewHosts returns an empty memory with a key of its own.
func NewHosts() *Hosts {
	h := &Hosts{facts: map[string]HostFacts{}, key: make([]byte, 32)}
	rand.Read(h.key)
	return h
}

type hostsFile struct {
	Version int                  `json:"version"`
	Key     []byte               `json:"key"`
	Hosts   map[string]HostFacts `json:"hosts"`
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *Hosts) UnmarshalJSON(b []byte) error {
	var f hostsFile
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.Version == 1 && len(f.Key) == 32 {
		h.key, h.facts = f.Key, f.Hosts
	}
	if h.facts == nil {
		h.facts = map[string]HostFacts{}
	}
	h.trimLocked()
	return nil
}

// MarshalJSON writes the memory; Changed is false afterwards.
func (h *Hosts) MarshalJSON() ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trimLocked()
	h.dirty = false
	return json.Marshal(hostsFile{1, h.key, h.facts})
}

// Changed reports whether there is something new to save.
func (h *Hosts) Changed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dirty
}

// SetNetwork names the network this machine is in. Facts are kept apart by it:
// one captive portal must not degrade a host everywhere.
func (h *Hosts) SetNetwork(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.network = name
}

func (h *Hosts) trimLocked() {
	old := time.Now().Add(-hostsAge).Unix()
	for k, f := range h.facts {
		if f.Seen < old {
			delete(h.facts, k)
		}
	}
	for len(h.facts) > hostsKeep {
		oldest, at := "", int64(0)
		for k, f := range h.facts {
			if oldest == "" || f.Seen < at {
				oldest, at = k, f.Seen
			}
		}
		delete(h.facts, oldest)
	}
}

func (h *Hosts) nameLocked(u *url.URL) string {
	return h.hash(h.network + "\x00" + u.Scheme + "\x00" + u.Host)
}

func (h *Hosts) hash(s string) string {
	m := hmac.New(sha256.New, h.key)
	m.Write([]byte(s))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:16])
}

// get returns what may be relied upon: facts learnt over verified TLS, or seen
// twice.
func (h *Hosts) get(u *url.URL) HostFacts {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.facts[h.nameLocked(u)]
	age := time.Since(time.Unix(f.Seen, 0))
	if age > hostsAge || u.Scheme != "https" && f.Count < 2 {
		return HostFacts{}
	}
	if time.Since(time.Unix(f.LanesAt, 0)) > soleAge {
		f.Lanes = 0
	}
	if time.Since(time.Unix(f.BarredAt, 0)) > hostsAge {
		f.NoPeers, f.Barred = false, ""
	}
	f.NoRanges = f.Ignored >= 2 && age < soleAge
	return f
}

// learn changes the facts of u's host.
func (h *Hosts) learn(u *url.URL, change func(f *HostFacts)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.nameLocked(u)
	f := h.facts[k]
	if time.Since(time.Unix(f.BarredAt, 0)) > hostsAge { // whatever else has been learnt since
		f.NoPeers, f.Barred = false, ""
	}
	change(&f)
	f.Count++
	f.Seen = time.Now().Unix()
	h.facts[k] = f
	h.dirty = true
	if len(h.facts) > hostsKeep+64 {
		h.trimLocked()
	}
}

// learn records what d showed about its host.
func (d *Download) learn() {
	d.mu.Lock()
	s := d.plan.Stats(1, d.now())
	engaged := d.plan.Engaged()
	d.mu.Unlock()
	if !engaged || s.Requests < 2 {
		return
	}
	d.engine.Hosts.learn(d.request.URL, func(f *HostFacts) {
		if s.Heads >= 2 {
			f.Ranges, f.Ignored = true, 0
			if s.Tried && !s.Cramped { // or others were served as well, which says nothing about the host
				f.Lanes, f.LanesAt = s.Lanes, time.Now().Unix()
			}
			if s.Lanes == max(1, f.Lanes) { // many in a trial share what one has
				f.Rate = s.Lane
			}
		} else if s.Mismatched > 0 {
			f.Ignored++
			f.Ranges = false
		}
		// A refusal in the last moments, or while the link was down, shows
		// nothing about a host that has borne far more.
		if s.Refused > 0 && s.Ceiling > 0 && 2*s.Ceiling >= s.Peak {
			f.Ceiling = s.Ceiling
		}
	})
}
