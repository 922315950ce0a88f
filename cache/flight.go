package cache

import (
	"net/http"
	"sync"
	"time"

	"dtpx/cache/internal/rules"
)

// flights are requests for what nothing is stored of. Who asks for the same
// waits until the header section of the answer has come: it may be one that
// can be shared. If it cannot, or takes too long, everybody goes their own way.
type flights struct {
	mu sync.Mutex
	of map[string]*flight // guarded by mu
}

type flight struct {
	all  *flights
	name string
	over chan struct{}
	once sync.Once
}

// shareable reports whether v's answer could be another client's, too.
func (v *visit) shareable() bool { return !v.req.Key.Signed && v.impersonal() }

// impersonal reports that nothing in v's fields makes the answer that client's alone.
func (v *visit) impersonal() bool {
	h := v.in.Header
	return v.in.Method == http.MethodGet && !rules.ByPerson(h) && h.Get("If-Match") == "" && h.Get("If-Unmodified-Since") == ""
}

// enter returns the flight for what v asks for: a new one, of which v is the
// first, or the one to wait for. nil where v's answer is nobody else's.
func (x *flights) enter(v *visit) (f *flight, first bool) {
	if !v.shareable() {
		return nil, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	name := v.t.Realm + " " + v.req.Key.ID
	if f = x.of[name]; f != nil {
		return f, false
	}
	if x.of == nil {
		x.of = map[string]*flight{}
	}
	f = &flight{all: x, name: name, over: make(chan struct{})}
	x.of[name] = f
	return f, true
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

// waitMost is how long a client waits for the header section of another one's
// answer: less than anybody notices who waits for a slow origin in any case.
const waitMost = time.Second

// wait reports whether f is over, and the answer of another client there.
func (f *flight) wait(v *visit) bool {
	t := time.NewTimer(waitMost)
	defer t.Stop()
	select {
	case <-f.over:
		v.collapsed = true
		return true
	case <-t.C:
	case <-v.in.Context().Done():
	}
	return false
}
