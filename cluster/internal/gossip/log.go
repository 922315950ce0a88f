package gossip

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"sync"
	"time"
)

// quietFor keeps strangers and broken networks from filling the log: one
// warning in this time, with the number of those left out.
const quietFor = 10 * time.Second

// logWriter takes memberlist's lines, "[LEVEL] memberlist: text". They hold names,
// addresses and metadata; keys are never among them.
type logWriter struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex // guards what follows
	said   time.Time
	unsaid int
}

func newLogger(l *slog.Logger, now func() time.Time) *log.Logger {
	return log.New(&logWriter{log: l, now: now}, "", 0)
}

// Write implements io.Writer; it gets one line at a time.
func (w *logWriter) Write(line []byte) (int, error) {
	level, text, _ := bytes.Cut(bytes.TrimSpace(line), []byte("] "))
	text = bytes.TrimPrefix(text, []byte("memberlist: "))
	if !bytes.HasPrefix(level, []byte("[WARN")) && !bytes.HasPrefix(level, []byte("[ERR")) {
		if w.log.Enabled(context.Background(), slog.LevelDebug) {
			w.log.Debug("membership", "says", string(text))
		}
		return len(line), nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := w.now(); now.Sub(w.said).Abs() >= quietFor {
		w.log.Warn("membership", "says", string(text), "unsaid", w.unsaid)
		w.said, w.unsaid = now, 0
	} else {
		w.unsaid++
	}
	return len(line), nil
}
