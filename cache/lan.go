package cache

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"iter"
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
	ID      string // what stays with it; it may take another name
	Name    string // for people
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
	seen  map[string]known // by ID
	wrong map[string]fault // by ID

	lately  map[string]time.Time // who has let us wait, by ID
	worth   map[string]int       // by ID; see worth.go
	noCarry time.Time            // until then; see carry.go
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
	askMost    = 4                      // neighbours at once
	askRounds  = 4                      // of them for one request
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
			if l.version(n.ID) != n.Version {
				l.learn(n)
			}
		}
	}
}

// version is that of the summary of a neighbour which is known; 0 for none.
func (l *lan) version(id string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[id].version
}

// candidate is a neighbour that may hold what is looked for.
type candidate struct {
	Neighbour
	tag tag // of that, in its summary
}

// candidates are the neighbours that may hold a key, by their summaries, the best
// first: without a digest of the origin only those that are trusted.
func (l *lan) candidates(k disk.Key, vouched bool) (all []candidate) {
	for _, n := range l.list() {
		l.mu.Lock()
		s, barred := l.seen[n.ID], l.barredLocked(n.ID) || l.restsLocked(n.ID)
		l.mu.Unlock()
		if s.sum == nil || barred || !n.Trusted && !vouched {
			continue
		}
		if t := s.sum.tag(k); s.sum.may(t) {
			all = append(all, candidate{n, t})
		}
	}
	l.rank(all)
	return all[:min(len(all), askMost*askRounds)]
}

// learn fetches a neighbour's summary.
func (l *lan) learn(n Neighbour) {
	l.c.goOn("summary "+n.ID, func(ctx context.Context) {
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
		l.seen[n.ID] = known{n.Version, s}
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

var errLate = errors.New("no answer in time")

// find asks who may hold a key, some at once, and yields what they offer; then, if that
// was of no use, others: those who say that they have everything must not stand in the
// way of those who have it. vouched is as for candidates.
func (l *lan) find(ctx context.Context, k rules.Key, vouched bool) iter.Seq2[[]offered, []Neighbour] {
	return func(yield func([]offered, []Neighbour) bool) {
		left := askTime
		for some := range slices.Chunk(l.candidates(keyOf(k.ID), vouched), askMost) {
			began := time.Now()
			found, from := l.askAll(ctx, k, some, left)
			if len(found) > 0 && !yield(found, from) {
				return
			}
			if left -= time.Since(began); left <= 0 || ctx.Err() != nil {
				return
			}
		}
	}
}

// askAll asks some neighbours for a key, all at once. Who says nothing of use counts
// for less from then on.
func (l *lan) askAll(ctx context.Context, k rules.Key, some []candidate, most time.Duration) (found []offered, from []Neighbour) {
	timed, cancel := context.WithTimeoutCause(ctx, most, errLate)
	defer cancel()
	lists := make([][]offered, len(some))
	var wg sync.WaitGroup
	for i, n := range some {
		wg.Go(func() {
			b, err := l.ask(timed, n.Neighbour, "/entries/"+hex.EncodeToString(n.tag[:]), offeredMax)
			if errors.Is(context.Cause(timed), errLate) && err != nil {
				l.late(n.Neighbour)
			}
			if err == nil {
				_ = json.Unmarshal(b, &lists[i])
			}
			lists[i] = slices.DeleteFunc(lists[i], func(o offered) bool { return !o.sound(k) })
		})
	}
	wg.Wait()
	for i, n := range some {
		if len(lists[i]) == 0 && ctx.Err() == nil {
			l.disappoints(n.Neighbour)
		}
		for _, o := range lists[i] {
			found, from = append(found, o), append(from, n.Neighbour)
		}
	}
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
