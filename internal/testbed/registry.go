package testbed

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"
)

// registry is what the origin remembers about its URLs and clients.
type registry struct {
	mu      sync.Mutex
	files   map[string]*file
	signed  map[string]*ticket
	running map[netip.Addr]int // requests now
	start   time.Time          // of the first request: base of Last-Modified
}

// file is one URL's state, guarded by the registry.
type file struct {
	requests int
	first    time.Time
	served   int64
	fired    map[int]int // fault index → times
}

// ticket is what a redirect hands out.
type ticket struct {
	until time.Time // zero = no limit
	left  int       // -1 = no limit
}

// key names a URL's state: its path and query without the signature.
func key(u *url.URL) string {
	q := u.Query()
	q.Del("sig")
	if len(q) == 0 {
		return u.Path
	}
	return u.Path + "?" + q.Encode()
}

func (g *registry) lockedFile(k string) *file {
	now := time.Now()
	if g.files == nil {
		g.files, g.signed, g.start = map[string]*file{}, map[string]*ticket{}, now
	}
	f := g.files[k]
	if f == nil {
		f = &file{first: now, fired: map[int]int{}}
		g.files[k] = f
	}
	return f
}

// enter counts a request and returns its number and the file's version.
func (g *registry) enter(k string, p Options) (number int, version uint64, modified time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.lockedFile(k)
	f.requests++
	if p.ChangeEvery > 0 {
		version = uint64(time.Since(f.first) / p.ChangeEvery)
	}
	if p.ChangeAfter > 0 {
		version += uint64(f.served / p.ChangeAfter)
	}
	if p.Age >= 0 {
		age := p.Age
		if age == 0 {
			age = 24 * time.Hour
		}
		modified = g.start.Add(-age + time.Duration(version)*time.Second).UTC().Truncate(time.Second)
	}
	return f.requests, version, modified
}

// fire uses up one of a fault's times.
func (g *registry) fire(k string, index, times int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.lockedFile(k)
	if times > 0 && f.fired[index] >= times {
		return false
	}
	f.fired[index]++
	return true
}

func (g *registry) addServed(k string, n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lockedFile(k).served += n
}

func (g *registry) sign(k string, p Options) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lockedFile(k)
	t := &ticket{left: -1}
	if p.TTL > 0 {
		t.until = time.Now().Add(p.TTL)
	}
	if p.Uses > 0 {
		t.left = p.Uses
	}
	sig := rand.Text()
	g.signed[sig] = t
	return sig
}

// redeem says whether a signature is still good, and uses it once.
func (g *registry) redeem(sig string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.signed[sig]
	if t == nil || t.left == 0 || !t.until.IsZero() && !time.Now().Before(t.until) {
		return false
	}
	if t.left > 0 {
		t.left--
	}
	return true
}

// begin admits a request of a client address; call end afterwards if it says so.
func (g *registry) begin(ip netip.Addr, limit int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if limit > 0 && g.running[ip] >= limit {
		return false
	}
	if g.running == nil {
		g.running = map[netip.Addr]int{}
	}
	g.running[ip]++
	return true
}

func (g *registry) end(ip netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running[ip]--
}

// Reset forgets URLs (request numbers, versions, signatures) and the log.
func (o *Origin) Reset() {
	o.files.mu.Lock()
	o.files.files = nil
	o.files.mu.Unlock()
	o.log.reset()
	o.ResetConns()
}

// tag is the ETag of a file's version as this request sees it.
func tag(p Options, number int, version uint64, local string) string {
	s := fmt.Sprintf("%x-%x-%x", p.Seed, p.Size, version)
	switch p.ETag {
	case "none":
		return ""
	case "weak":
		return `W/"` + s + `"`
	case "request":
		return fmt.Sprintf(`"%s-%d"`, s, number)
	case "weak-request":
		return fmt.Sprintf(`W/"%s-%d"`, s, number)
	case "edge":
		return fmt.Sprintf(`"%s@%s"`, s, local)
	}
	return `"` + s + `"`
}

func describe(p Options, etag string, modified time.Time) http.Header {
	h := http.Header{}
	for k, vs := range p.Header {
		h[http.CanonicalHeaderKey(k)] = vs
	}
	set := func(k, v string) {
		if v != "" {
			h.Set(k, v)
		}
	}
	set("ETag", etag)
	set("Cache-Control", p.Cache)
	set("Vary", p.Vary)
	set("Content-Type", p.Type)
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/octet-stream")
	}
	if p.Name != "" {
		h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", p.Name))
	}
	if !modified.IsZero() {
		h.Set("Last-Modified", modified.Format(http.TimeFormat))
	}
	if p.NoDate {
		h["Date"] = nil
	}
	if p.Ranges == "none" {
		h.Set("Accept-Ranges", "none")
	} else if p.Ranges == "" {
		h.Set("Accept-Ranges", "bytes")
	}
	return h
}
