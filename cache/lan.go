package cache

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"dtpx/cache/internal/disk"
	"dtpx/cache/internal/rules"
	ranges "dtpx/range"
)

// Neighbour is another machine that shares its cache by an Offer.
type Neighbour struct {
	Name    string
	Trusted bool   // its bytes count although no digest of the origin covers them
	Version uint64 // of its summary
	Via     http.RoundTripper
}

// lan is what is known of the neighbours. Their summaries are fetched behind the
// clients' backs; a client never waits for one.
type lan struct {
	c    *Cache
	list func() []Neighbour

	mu    sync.Mutex       // guards what follows
	seen  map[string]known // by name
	wrong map[string]fault // by name

	noCarry time.Time // until then; see carry.go
}

// fault is that a neighbour's bytes were wrong.
type fault struct {
	points int
	at     time.Time
}

// barTime is for how long such a neighbour is not asked.
const barTime = 24 * time.Hour

// blame names who gave wrong bytes. Where the digest may have been older than the
// content, once may have been bad luck.
func (l *lan) blame(name string, certain bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrong == nil || len(l.wrong) >= 1024 {
		l.wrong = map[string]fault{}
	}
	f := fault{l.wrong[name].points + 1, l.c.o.Now()}
	if certain {
		f.points++
	}
	l.wrong[name] = f
	l.c.log.Warn("a neighbour gave bytes that are not what the origin's digest says", "neighbour", name, "dropped", f.points > 1)
}

func (l *lan) barredLocked(name string) bool {
	f := l.wrong[name]
	return f.points > 1 && l.c.o.Now().Sub(f.at) < barTime
}

// barred are the neighbours that are not asked.
func (l *lan) barred() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(l.wrong)) {
		if l.barredLocked(n) {
			all = append(all, n)
		}
	}
	return all
}

type known struct {
	version uint64
	sum     *summary
}

// versions are the summaries that are known.
func (l *lan) versions() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := map[string]string{}
	for name, k := range l.seen {
		m[name] = strconv.FormatUint(k.version, 16)
	}
	return m
}

// Bounds of what a neighbour may make us do.
const (
	askTime    = 700 * time.Millisecond // for a question on the LAN
	offeredMax = 1 << 20                // bytes of a list
	askMost    = 4                      // neighbours for one request
)

// Ask makes the cache ask neighbours for what it has not got itself. list is called
// for each request that would go to the origin, and must return at once. It is to be
// called before the first request.
func (c *Cache) Ask(list func() []Neighbour) {
	c.lan = &lan{c: c, list: list, seen: map[string]known{}}
	c.tasks.Go(c.lan.run)
}

// learnEvery is how soon a neighbour's new summary is asked for.
const learnEvery = 2 * time.Second

// run keeps the summaries up to date until the cache is closed.
func (l *lan) run() {
	tick := time.NewTicker(l.c.o.learn)
	defer tick.Stop()
	for {
		select {
		case <-l.c.ctx.Done():
			return
		case <-tick.C:
		}
		for _, n := range l.list() {
			if l.version(n.Name) != n.Version {
				l.learn(n)
			}
		}
	}
}

// version is that of the summary of a neighbour which is known; 0 for none.
func (l *lan) version(name string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[name].version
}

// source is an entry of a neighbour.
type source struct {
	n    Neighbour
	id   string
	held []ranges.Range
}

// candidates are the neighbours that may hold a key, by their summaries: without a
// digest of the origin only those that are trusted.
func (l *lan) candidates(k disk.Key, vouched bool) (all []Neighbour, tags []tag) {
	for _, n := range l.list() {
		l.mu.Lock()
		s, barred := l.seen[n.Name], l.barredLocked(n.Name)
		l.mu.Unlock()
		if s.sum == nil || barred || !n.Trusted && !vouched {
			continue
		}
		if t := s.sum.tag(k); s.sum.may(t) {
			all, tags = append(all, n), append(tags, t)
		}
	}
	return all[:min(len(all), askMost)], tags
}

// learn fetches a neighbour's summary.
func (l *lan) learn(n Neighbour) {
	l.c.goOn("summary "+n.Name, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		b, err := l.ask(ctx, n, "/summary", summaryMax+64)
		if err != nil {
			l.c.log.Debug("summary of a neighbour", "neighbour", n.Name, "err", err)
			return
		}
		s, err := parseSummary(b)
		if err != nil {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.seen) > 1024 { // keys can be minted
			clear(l.seen)
		}
		if !n.Trusted && l.sizeLocked()+len(s.bits) > summariesMax {
			s = &summary{bits: make([]byte, 8)} // of nothing
		}
		l.seen[n.Name] = known{n.Version, s}
	})
}

// summariesMax bounds the bytes of all summaries, once there is one of somebody who
// is not trusted.
const summariesMax = 32 << 20

func (l *lan) sizeLocked() (n int) {
	for _, k := range l.seen {
		n += len(k.sum.bits)
	}
	return n
}

// ask reads a document of a neighbour.
func (l *lan) ask(ctx context.Context, n Neighbour, path string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://neighbour"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := n.Via.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errors.New("answer too long")
	}
	return b, err
}

// find asks who may hold a key, all at once, and returns what they offer. vouched is
// as for candidates.
func (l *lan) find(ctx context.Context, k rules.Key, vouched bool) (found []offered, from []Neighbour) {
	key := keyOf(k.ID)
	who, tags := l.candidates(key, vouched)
	if len(who) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, n := range who {
		wg.Go(func() {
			b, err := l.ask(ctx, n, "/entries/"+hex.EncodeToString(tags[i][:]), offeredMax)
			if err != nil {
				return
			}
			var list []offered
			if json.Unmarshal(b, &list) != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, o := range list {
				if o.sound(k) {
					found, from = append(found, o), append(from, n)
				}
			}
		})
	}
	wg.Wait()
	return found, from
}

// sound checks what a neighbour says of an entry. Only versions with a strong
// validator can be joined with anything.
func (o offered) sound(k rules.Key) bool {
	if o.Meta == nil || o.Meta.Key != k.ID || o.Meta.Status != http.StatusOK || o.Meta.Header == nil || o.Total <= 0 || o.Total > disk.MaxTotal {
		return false
	}
	if _, err := disk.ParseID(o.ID); err != nil {
		return false
	}
	s := o.Meta.stored()
	s.Total = o.Total
	_, strong := s.Version()
	return strong && !slices.ContainsFunc(o.Held, func(r ranges.Range) bool { return r.Start < 0 || r.End > o.Total || r.Empty() })
}

// borrow looks for v's resource at the neighbours'. What they have of the newest
// version that this client may get becomes an entry here, of which nothing is held
// yet, and which the origin has to confirm: its 304 costs no byte of a body.
func (v *visit) borrow() {
	if v.c.lan == nil || !v.shareable() || v.in.Header.Get("If-None-Match") != "" || v.in.Header.Get("If-Modified-Since") != "" {
		return
	}
	found, from := v.c.lan.find(v.in.Context(), v.req.Key, false)
	var best *meta
	var total int64
	var sources []source
	for i, o := range found {
		s := o.Meta.stored()
		if !s.Selects(v.in.Header) {
			continue
		}
		switch {
		case best == nil || o.Meta.Received.After(best.Received) && !same(best, total, o):
			best, total, sources = o.Meta, o.Total, nil
		case !same(best, total, o):
			continue
		}
		sources = append(sources, source{from[i], o.ID, o.Held})
	}
	if best == nil {
		return
	}
	v.adopt(best, total, sources)
}

// same reports that o is of the version of m.
func same(m *meta, total int64, o offered) bool {
	a, b := m.stored(), o.Meta.stored()
	a.Total, b.Total = total, o.Total
	va, ok := a.Version()
	vb, also := b.Version()
	return ok && also && va == vb
}

// adopt enters what neighbours hold as an object that must be validated.
func (v *visit) adopt(m *meta, total int64, sources []source) {
	n := *m
	n.Realms, n.Invalid, n.Signed, n.Public = []string{v.t.Realm}, true, false, false
	n.Unproven = nil
	for _, o := range v.have { // a part of it is here already
		if o.entry != nil && o.total() == total && same(o.meta, total, offered{Total: total, Meta: m}) {
			o.lan = sources
			v.at(o)
			return
		}
	}
	raw, err := n.encode()
	if err != nil {
		return
	}
	e, err := v.c.store.Create(keyOf(n.Key), raw, total)
	if err != nil {
		return
	}
	o := &object{c: v.c, key: keyOf(n.Key), meta: &n, entry: e, lan: sources}
	v.have = append([]*object{o}, v.have...)
	v.at(o)
}

// at makes o the one that is asked about.
func (v *visit) at(o *object) {
	v.known = storedOf(v.have, v.t.Realm)
	v.d = rules.Decision{Verdict: rules.Validate, At: slices.Index(v.have, o), Fwd: rules.FwdStale}
}

// lend opens a gap with bytes of a neighbour; nil if none has the one at off.
func (v *visit) lend(ctx context.Context, o *object, off, end int64) *gap {
	for len(o.lan) > 0 {
		i := slices.IndexFunc(o.lan, func(s source) bool { return holds(s.held, off) > off })
		if i < 0 {
			return nil
		}
		s := o.lan[i]
		r := ranges.Range{Start: off, End: min(gapEnd(heldOf(o.entry), off, end), holds(s.held, off))}
		g, err := v.fromNeighbour(ctx, o, s, r)
		if err == nil {
			return g
		}
		v.c.log.Debug("a neighbour does not give what it has", "neighbour", s.n.Name, "err", err)
		o.lan = slices.Delete(slices.Clone(o.lan), i, i+1)
	}
	return nil
}

// holds is the end of the run of held bytes at off; off if there is none.
func holds(held []ranges.Range, off int64) int64 {
	for _, r := range held {
		if r.Contains(off) {
			return r.End
		}
	}
	return off
}

// fromNeighbour asks for r of s. A neighbour can only help: what it breaks off is
// fetched elsewhere, and it is not asked again.
func (v *visit) fromNeighbour(ctx context.Context, o *object, s source, r ranges.Range) (*gap, error) {
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://neighbour/data/"+s.id, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", r.Start, r.End-1))
	resp, err := s.n.Via.RoundTrip(req)
	if err != nil {
		cancel()
		return nil, err
	}
	if resp.StatusCode != http.StatusPartialContent || resp.ContentLength != r.Len() {
		resp.Body.Close()
		cancel()
		return nil, fmt.Errorf("answers %s with %d bytes for %d", resp.Status, resp.ContentLength, r.Len())
	}
	k := &keeper{v: v, into: o}
	k.fillFrom(o.entry.Acquire(), r)
	body := &keptBody{k: k, ReadCloser: resp.Body, r: r, pos: r.Start, known: true}
	v.c.stats.borrowed.Add(r.Len())
	return &gap{body: body, at: r.Start, end: r.End, cancel: cancel, lent: s.id}, nil
}
