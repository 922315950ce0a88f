package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	ranges "dtpx/range"
)

// progress draws one line per source while a download runs: redrawn in place
// on a terminal, otherwise once at the end.
type progress struct {
	f    *fetcher
	s    *saving
	out  *os.File
	live bool
	once sync.Once
	quit chan struct{}
	done chan struct{}
	tall int // lines drawn last
}

func (c *cli) progress(f *fetcher, s *saving) *progress {
	p := &progress{f: f, s: s, quit: make(chan struct{}), done: make(chan struct{})}
	p.out, _ = c.err.(*os.File)
	if p.out != nil {
		if st, err := p.out.Stat(); err == nil {
			p.live = st.Mode()&os.ModeCharDevice != 0
		}
	}
	go p.run()
	return p
}

func (p *progress) run() {
	defer close(p.done)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.quit:
			p.draw()
			return
		case <-tick.C:
			if p.live {
				p.draw()
			}
		}
	}
}

func (p *progress) stop() {
	p.once.Do(func() {
		close(p.quit)
		<-p.done
	})
}

// draw prints the download and its sources. A file too small to be accelerated
// is in no list and gets no lines.
func (p *progress) draw() {
	var lines []string
	for _, d := range p.f.downloads() {
		if p.mine(d) {
			lines = append(lines, fmt.Sprintf("%s of %s, %s/s", bytes(d.Sent), bytes(d.Size), bytes(int64(d.Rate))))
			for _, s := range d.Sources {
				lines = append(lines, "  "+sourceLine(s, d.Size))
			}
			break
		}
	}
	if len(lines) == 0 || p.f.c.err == nil {
		return
	}
	if p.tall > 0 {
		fmt.Fprintf(p.f.c.err, "\x1b[%dA\x1b[J", p.tall)
	}
	p.tall = len(lines)
	fmt.Fprintln(p.f.c.err, strings.Join(lines, "\n"))
}

// mine tells the download of this get from others that the node serves.
func (p *progress) mine(d ranges.Info) bool {
	id := p.s.id.Load()
	return id != nil && *id == d.ID
}
