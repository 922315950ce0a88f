package cache

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	ranges "dtpx/range"
)

// flights are requests for what nothing is stored of. Who asks for the same
// waits until the header section of the answer has come, and the rest if it is
// small: it may be one that can be shared. If it cannot, or takes too long,
// everybody goes their own way.
type flights struct {
	mu   sync.Mutex // guards what follows
	of   map[string]*flight
	lone map[string]time.Time // whose last answer was for one client alone
}

const (
	// loneTime is for how long nobody waits where waiting was in vain: to wait for
	// each other's answer again and again would cost those who poll a second each.
	loneTime = time.Minute
	loneMax  = 4096
)

type flight struct {
	all  *flights
	name string
	over chan struct{}
	once sync.Once

	guessed atomic.Bool // that the rest will come in a moment
}

// shareable reports whether v's answer could be another client's, too.
func (v *visit) shareable() bool { return !v.req.Key.Signed && v.impersonal() }

// impersonal reports that nothing in v's fields makes the answer that client's alone.
func (v *visit) impersonal() bool {
	h := v.in.Header
	return v.in.Method == http.MethodGet && !ranges.ByPerson(h) && h.Get("If-Match") == "" && h.Get("If-Unmodified-Since") == ""
}

// enter returns the flight for what v asks for: the one to wait for, or, if v misses, a
// new one of which v is the first. nil where v's answer is nobody else's.
func (x *flights) enter(v *visit, misses bool) (f *flight, first bool) {
	if !v.shareable() {
		return nil, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	name := v.t.Realm + " " + v.req.Key.ID
	if at, ok := x.lone[name]; ok && v.c.o.Now().Sub(at) < loneTime {
		return nil, false
	}
	if f = x.of[name]; f != nil || !misses {
		return f, false
	}
	if x.of == nil {
		x.of = map[string]*flight{}
	}
	f = &flight{all: x, name: name, over: make(chan struct{})}
	x.of[name] = f
	return f, true
}

// learn notes whether the answer to what f was for could be another client's, too.
func (f *flight) learn(shared bool, now time.Time) {
	if f == nil {
		return
	}
	x := f.all
	x.mu.Lock()
	defer x.mu.Unlock()
	if shared {
		delete(x.lone, f.name)
		return
	}
	if x.lone == nil || len(x.lone) >= loneMax {
		x.lone = map[string]time.Time{}
	}
	x.lone[f.name] = now
}

// guess notes that nobody has said how much there is to wait for.
func (f *flight) guess(yes bool) {
	if f != nil {
		f.guessed.Store(yes)
	}
}

func (f *flight) end() {
	if f == nil {
		return
	}
	f.once.Do(func() {
		f.all.mu.Lock()
		defer f.all.mu.Unlock()
		delete(f.all.of, f.name)
		close(f.over)
	})
}

// waitMost is how long a client waits for another one's answer: less than anybody
// notices who waits for a slow origin in any case.
const waitMost = time.Second

// wait reports whether f is over, and the answer of another client there. That counts
// more than that the time is up: on a busy machine both are found at once.
func (f *flight) wait(v *visit) bool {
	t := time.NewTimer(waitMost)
	defer t.Stop()
	select {
	case <-f.over:
	case <-t.C:
	case <-v.in.Context().Done():
	}
	select {
	case <-f.over:
		v.collapsed = true
		return true
	default:
	}
	if f.guessed.Load() && v.in.Context().Err() == nil {
		f.learn(false, v.c.o.Now())
	}
	return false
}
