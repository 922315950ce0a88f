package ranges

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// watched is a response that is not accelerated; only its bytes are counted.
type watched struct {
	io.ReadCloser
	e    *Engine
	kind string // of its one source
	part *parts // that it may be one of
	has  *parts // that complete it
	once sync.Once

	mu      sync.Mutex // guards what follows
	i       Info
	done    time.Time
	listing *entry // nil: not in the list of downloads
}

// watch lists a large response that is passed on as it is.
func (e *Engine) watch(req *http.Request, resp *http.Response, reason string) *http.Response {
	w := &watched{ReadCloser: resp.Body, e: e, kind: KindDirect, part: partsIn(req.Context()), i: Info{
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

// Cached lists a response that comes from a cache, if it is large. how is what
// Info.Cache says of it: hit or partial.
func (e *Engine) Cached(req *http.Request, resp *http.Response, how string) *http.Response {
	e.init()
	if resp.ContentLength < e.MinSize {
		return resp
	}
	w := &watched{ReadCloser: resp.Body, e: e, kind: KindCache, has: partsIn(req.Context()), i: Info{
		ID: newID(), URL: redact(req.URL), Client: clientOf(req.Context()).Name, Size: resp.ContentLength,
		State: "running", Started: time.Now(), Cache: how, Validator: strongETag(resp.Header), Sources: []SourceInfo{},
	}}
	if w.has != nil {
		e.mu.Lock()
		e.adoptLocked(w.has)
		e.mu.Unlock()
	}
	w.list()
	resp.Header.Set(DownloadField, w.i.ID)
	resp.Body = w
	if f, ok := w.ReadCloser.(fileBody); ok {
		resp.Body = &watchedFile{w, f}
	}
	return resp
}

// fileBody is a body that may lie in files; see the proxy's interface of the name.
type fileBody interface {
	NextFile() (f *os.File, n int64, ok bool)
	Sent(n int64)
}

// watchedFile counts what is sent past Read.
type watchedFile struct {
	*watched
	f fileBody
}

func (w *watchedFile) NextFile() (*os.File, int64, bool) { return w.f.NextFile() }

func (w *watchedFile) Sent(n int64) {
	w.f.Sent(n)
	w.mu.Lock()
	w.i.Sent += n
	w.mu.Unlock()
}

func (w *watched) list() {
	w.once.Do(func() {
		en := &entry{of: w}
		w.mu.Lock()
		w.listing = en
		w.mu.Unlock()
		w.e.remember(en, w.part)
	})
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.mu.Lock()
	w.i.Sent += int64(n)
	large := w.i.Sent >= w.e.MinSize
	switch {
	case err == io.EOF:
		w.finishLocked("done")
	case errors.Is(err, context.Canceled): // who asked has left
		w.finishLocked("cancelled")
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
		if w.kind == KindDirect {
			w.e.stats.passed.Add(w.i.Sent)
		}
	}
}

func (w *watched) Close() error {
	w.mu.Lock()
	if w.i.Sent == w.i.Size {
		w.finishLocked("done")
	}
	w.finishLocked("cancelled")
	en := w.listing
	w.mu.Unlock()
	err := w.ReadCloser.Close() // and its parts have ended
	if en != nil {
		w.e.settle(en, w.info())
	}
	return err
}

func (w *watched) info() Info {
	rest := w.e.partsInfo(w.has)
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.i
	i.Seconds = since(i.Started, w.done)
	i.Rate = float64(i.Sent) / max(i.Seconds, 0.001)
	i.Sources = []SourceInfo{{Kind: w.kind, Bytes: i.Sent, Rate: i.Rate, Requests: 1, State: "alone"}}
	i.complete(rest)
	return i
}
