package ranges

import (
	"slices"
	"sync"
	"time"

	"dtpx/range/internal/sched"
)

// Where several clients are served at a time, the line is shared among them and
// not among their downloads. What decides who gets how much of it is the number
// of connections, because TCP gives each about the same: so each client gets as
// many as one download may have, for all of its downloads together. A client
// that is alone is not bound.

// crowdFactor bounds the connections of all clients together, in those of one
// download. Hundreds of flows on a line of some MB/s mostly lose each other's
// packets.
const crowdFactor = 16

const (
	// crowdTime is for how long a client counts that takes nothing any more:
	// longer than a window takes to fill and run low again.
	crowdTime = 2 * time.Second
	// crowdEvery is how often it is counted who is there.
	crowdEvery = 100 * time.Millisecond
)

// crowd knows who is served. The zero value is ready.
type crowd struct {
	mu        sync.Mutex
	downloads map[*Download]*presence
	counted   time.Time
	busy      map[string]int // downloads that take a part of the line, by account
}

// presence is a download in the crowd.
type presence struct {
	readers  int
	accounts []string // of those that somebody waits for
	last     time.Time
}

func (c *crowd) join(d *Download, who Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.downloads == nil {
		c.downloads = map[*Download]*presence{}
	}
	p := c.downloads[d]
	if p == nil {
		p = &presence{}
		c.downloads[d] = p
	}
	p.readers++
	if !who.Background {
		p.accounts = append(p.accounts, who.account())
	}
	p.last, c.counted = time.Now(), time.Time{}
}

func (c *crowd) leave(d *Download, who Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.downloads[d]
	if p == nil {
		return
	}
	if i := slices.Index(p.accounts, who.account()); i >= 0 && !who.Background {
		p.accounts = slices.Delete(p.accounts, i, i+1)
	}
	if p.readers--; p.readers == 0 {
		delete(c.downloads, d)
	}
	c.counted = time.Time{}
}

// lanes is how many of this machine's connections d may use, which is busy or
// not, where a download that is alone has most; 0 is any number.
func (c *crowd) lanes(d *Download, busy bool, most int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.downloads[d]
	if p == nil {
		return 0
	}
	now := time.Now()
	if busy {
		p.last = now
	}
	if now.Sub(c.counted) >= crowdEvery {
		c.countLocked(now)
	}
	return lanesOf(p.accounts, c.busy, most)
}

// others reports that other downloads than d run.
func (c *crowd) others(d *Download) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, in := c.downloads[d]
	return len(c.downloads) > 1 || len(c.downloads) == 1 && !in
}

func (c *crowd) countLocked(now time.Time) {
	c.counted, c.busy = now, map[string]int{}
	for _, p := range c.downloads {
		if now.Sub(p.last) > crowdTime {
			continue
		}
		for i, a := range p.accounts {
			if !slices.Contains(p.accounts[:i], a) {
				c.busy[a]++
			}
		}
	}
}

// lanesOf is the part of a download with readers of these accounts: of each of
// them its equal part, divided by the downloads that it has. What nobody waits
// for keeps out of the way.
func lanesOf(accounts []string, busy map[string]int, most int) int {
	if len(accounts) == 0 {
		return min(1, len(busy))
	}
	if len(busy) < 2 {
		return 0
	}
	part := min(float64(most), float64(crowdFactor*most)/float64(len(busy)))
	sum := 0.0
	for i, a := range accounts {
		if !slices.Contains(accounts[:i], a) {
			sum += part / float64(max(1, busy[a]))
		}
	}
	if sum >= float64(most) {
		return 0
	}
	return max(1, int(sum))
}

// shareLocked keeps the local sources within d's part of the line.
func (d *Download) shareLocked(now sched.Time) {
	n := d.engine.crowd.lanes(d, d.plan.Busy(), d.engine.Connections)
	if n > 0 {
		n = max(1, n/max(1, d.locals))
	}
	for k, o := range d.sources {
		if local(o) {
			d.plan.SetLanes(schedID(k), n, now)
			for n > 0 && len(o.lanes) > n { // they would count at the host
				o.lanes[0].Close()
				o.lanes = o.lanes[1:]
			}
		}
	}
}
