package cache

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
)

// An answer that is there counts, whatever else has happened by the time that anybody
// looks.
func TestAnswerCountsMoreThanTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://example.org/", nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &flight{all: &flights{of: map[string]*flight{}}, over: make(chan struct{})}
	if f.wait(&visit{in: req}) {
		t.Error("over before it is")
	}
	f.end()
	for range 100 {
		if !f.wait(&visit{in: req}) {
			t.Fatal("the answer is there and was not taken")
		}
	}
}

// looked is a context that tells when somebody begins to wait for it.
type looked struct {
	context.Context
	once sync.Once
	at   chan struct{}
}

func (l *looked) Done() <-chan struct{} {
	l.once.Do(func() { close(l.at) })
	return l.Context.Done()
}

// Who comes in the moment between an entry's making and its first byte waits for the
// client whose answer it is, as all others do.
func TestHollowEntry(t *testing.T) {
	b := content(5000, 1)
	gate := make(chan bool)
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		<-gate
		file(b, `"v1"`, "Cache-Control", fresh)(w, q)
	})
	first := make(chan answer, 1)
	go func() { first <- r.get("/f") }()
	waitFor(t, func() bool { return r.requests.Load() == 1 })

	// As the first client's keeper makes it.
	v := &visit{t: r.through("local"), c: r.cache, in: r.request(t.Context(), "GET", "/f")}
	if why := v.admit(); why != "" {
		t.Fatal(why)
	}
	k := v.newKeeper()
	k.requested, k.received = r.cache.o.Now(), r.cache.o.Now()
	e := k.newEntry(k.response(&http.Response{StatusCode: 200, Header: http.Header{"Etag": {`"v1"`}, "Cache-Control": {fresh}}}), int64(len(b)), nil)
	if e == nil {
		t.Fatal("no entry: " + k.why)
	}
	defer e.Release()

	ctx := &looked{Context: t.Context(), at: make(chan struct{})}
	second := make(chan error, 1)
	go func() {
		resp, err := r.through("local").RoundTrip(r.request(ctx, "GET", "/f"))
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		second <- err
	}()
	<-ctx.at // it waits, or has asked the origin
	close(gate)
	if err := <-second; err != nil {
		t.Error(err)
	}
	r.want(<-first, 200, b)
	r.cost(1, int64(len(b)))
}
