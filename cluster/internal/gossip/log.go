package gossip

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Strangers and broken networks must not fill the log: one warning in quietFor, with the
// number of those left out. Where they go on, as with a firewall that lets no UDP pass,
// each is followed by twice the quiet, until none has come for calmFor.
const (
	quietFor  = 10 * time.Second
	quietMost = time.Hour
	calmFor   = 10 * time.Minute
)

// usual is what memberlist warns of whenever a member is started again or was asleep.
var usual = []string{"Refuting a suspect message", "Refuting a dead message", "Got ping for unexpected node", "Failed fallback TCP ping"}

// logWriter takes memberlist's lines, "[LEVEL] memberlist: text". They hold names,
// addresses and metadata; keys are never among them.
type logWriter struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex // guards what follows
	last   time.Time  // one came
	said   time.Time
	quiet  time.Duration // after said
	unsaid int
}

func newLogger(l *slog.Logger, now func() time.Time) *log.Logger {
	return log.New(&logWriter{log: l, now: now}, "", 0)
}

// Write implements io.Writer; it gets one line at a time.
func (w *logWriter) Write(line []byte) (int, error) {
	level, text, _ := bytes.Cut(bytes.TrimSpace(line), []byte("] "))
	text = bytes.TrimPrefix(text, []byte("memberlist: "))
	warns := bytes.HasPrefix(level, []byte("[WARN")) || bytes.HasPrefix(level, []byte("[ERR"))
	if !warns || slices.ContainsFunc(usual, func(s string) bool { return bytes.HasPrefix(text, []byte(s)) }) {
		if w.log.Enabled(context.Background(), slog.LevelDebug) {
			w.log.Debug("membership", "says", string(text))
		}
		return len(line), nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if now.Sub(w.last).Abs() > calmFor {
		w.quiet = 0
	}
	w.last = now
	if now.Sub(w.said).Abs() < w.quiet {
		w.unsaid++
		return len(line), nil
	}
	w.log.Warn("membership", "says", string(text), "unsaid", w.unsaid)
	w.said, w.unsaid, w.quiet = now, 0, max(quietFor, min(2*w.quiet, quietMost))
	return len(line), nil
}
