package discover

import (
	"log/slog"
	"strings"
	"sync"
	"time"
)

// bucket admits perSecond on average and most at once. The zero time is full.
type bucket struct {
	most, perSecond float64
	used            float64
	at              time.Time
}

func (b *bucket) take(now time.Time) bool {
	if gone := now.Sub(b.at); gone > 0 {
		b.used = max(0, b.used-gone.Seconds()*b.perSecond)
	}
	b.at = now
	if b.used+1 > b.most {
		return false
	}
	b.used++
	return true
}

// noise turns what strangers and broken networks cause into one line a minute.
type noise struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex // guards what follows
	said   time.Time
	unsaid int
}

const quietFor = time.Minute

func (n *noise) add(what string, err error) { n.say(what, "err", err) }

// Write takes the library's lines.
func (n *noise) Write(line []byte) (int, error) {
	n.say("mdns", "says", strings.TrimSpace(string(line)))
	return len(line), nil
}

func (n *noise) say(what string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	if now.Sub(n.said).Abs() < quietFor {
		n.unsaid++
		return
	}
	n.log.Debug(what, append(args, "unsaid", n.unsaid)...)
	n.said, n.unsaid = now, 0
}
