package ranges

import (
	"net/http"
	"path"
	"strings"
	"time"

	"dtpx/range/internal/sched"
)

// A player jumps: it reads the end of the file first or soon (the index of an
// MP4 or Matroska file often lies there), and a seek is a new request right
// after the old one was broken off. For resources that look like that, the
// tail is fetched early, and what a download holds is kept for a moment after
// its last reader has left.

const (
	tailSize = 512 << 10
	// tailBias ranks the tail behind the first bytes that a reader needs.
	tailBias = 1 << 20
	// playerSize is from where on a tail of its own pays.
	playerSize = 16 << 20
	// seekTime is how long a player may take from breaking off to asking anew.
	seekTime = 3 * time.Second
)

// played reports whether the answer to req looks like something that a player
// reads with jumps.
func played(req *http.Request, resp *http.Response, total int64) bool {
	if total < playerSize {
		return false
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), "/")
	switch strings.ToLower(path.Ext(req.URL.Path)) {
	case ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".m4a", ".flac":
		return true
	}
	return kind == "video" || kind == "audio"
}

// tailLocked makes the end of the resource wanted although nobody reads there
// yet.
func (d *Download) tailLocked() {
	if d.played {
		d.tail = d.plan.Join(Range{Start: d.version.total - tailSize, End: d.version.total}, tailBias, d.now())
	}
}

// lingerLocked stops everything but keeps what is stored, for a seek. It
// reports false for downloads that end with their last reader.
func (d *Download) lingerLocked() bool {
	if !d.played || d.served || d.err != nil || d.ctx.Err() != nil {
		return false
	}
	d.plan.Leave(d.tail)
	for id, f := range d.fetches {
		delete(d.fetches, id)
		f.stop()
		d.plan.Ended(id, sched.Again, 0, true, d.now())
	}
	d.dropLanesLocked()
	d.linger = time.AfterFunc(seekTime, d.expire)
	return true
}

// expire ends a download that nobody has come back to.
func (d *Download) expire() {
	d.mu.Lock()
	idle := len(d.readers) == 0 && !d.closed
	d.closed = d.closed || idle
	d.mu.Unlock()
	if idle {
		d.end()
	}
}

// resumeLocked goes on with a lingering download on behalf of req: from here
// on slices carry this client's fields.
func (d *Download) resumeLocked(req *http.Request) {
	if d.linger == nil || len(d.readers) > 0 {
		return
	}
	d.linger.Stop()
	d.url = req.WithContext(d.ctx)
	d.tailLocked()
}
