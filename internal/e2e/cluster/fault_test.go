package cluster

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ranges "dtpx/range"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
)

// The fault matrix is about bytes: the right ones, all of them, and few of them
// twice; and about a reader who notices nothing. How long it takes is measured
// by internal/bench.
const faultSize = 24 * mib

// The issue gives 1 s without a byte while a source lives and 3 s where all
// pause, to machines that do nothing else.
const (
	stallTime = 2 * time.Second
	pauseTime = 6 * time.Second
	deadTime  = 30 * time.Second // until a client is told that there is no way
	silence   = 4 * time.Second  // more than any source is given before others help it
)

// blow is a fault that happens to somebody.
type blow struct {
	v *hostel.Room
	hostel.Fault
}

// usedUp is a lender whose quota ends in mid-download: it is served with one of
// usedQuota beyond what it has lent.
var usedUp = hostel.Fault{Name: "quota used up"}

const usedQuota = 3 * mib

// anotherAddress is DHCP in mid-download.
var anotherAddress = hostel.Fault{Name: "another address", Begin: func(h *hostel.House, v *hostel.Room) func() {
	return h.Readdressed(v, "10.9.0.1"+strings.TrimPrefix(v.LAN.CIDR, "10.9.0."))
}}

var (
	wanCut    = hostel.Fault{Name: "WAN cut", Begin: (*hostel.House).CutWAN}
	blackHole = hostel.Fault{Name: "black hole", Begin: (*hostel.House).BlackHole}
	pausing   = hostel.Fault{Name: "pausing", Begin: (*hostel.House).Pause, Pauses: true}
)

func allFaults() []hostel.Fault { return append(hostel.Faults(), anotherAddress, usedUp) }

// strike downloads in the first room, lets faults happen in the middle, and mends
// the house. What is somewhat too much gets a second and a third chance: what a busy
// machine does now and then it does not do each time.
func (h *house) strike(bound time.Duration, blows ...blow) {
	h.t.Helper()
	var over []float64
	for len(over) < 3 {
		over = append(over, h.struck(bound, blows))
		if last := over[len(over)-1]; last <= 1 {
			return
		} else if last > 3 {
			break
		}
	}
	h.t.Errorf("the reader waited, or others brought in vain, too much by a factor of %.1f", over)
}

// struck repeats the download until all who are to be struck take part in it when
// a quarter has come: a lender that could not be reached is left alone for 5 s.
func (h *house) struck(bound time.Duration, blows []blow) (over float64) {
	h.t.Helper()
	h.prepare(blows)
	eventually(h.t, "those who are to be struck take part", func() (done bool) {
		over, done = h.attempt(bound, blows)
		return done
	})
	h.mend(blows)
	return over
}

// attempt returns the most of what was too much as a part of what may be.
func (h *house) attempt(bound time.Duration, blows []blow) (over float64, valid bool) {
	h.t.Helper()
	var names, options []string
	for _, b := range blows {
		names = append(names, b.v.Name+": "+b.Name)
		if b.Option != nil {
			options = append(options, b.Option(b.v))
		}
	}
	name := strings.Join(names, ", ")
	file := fmt.Sprintf("fault-%d", time.Now().UnixNano())
	url := h.URL("https", fmt.Sprintf("/%dMiB/%s", faultSize/mib, file), options...)
	var once sync.Once
	var wg sync.WaitGroup
	undo := make(chan func(), len(blows))
	d := h.fetch(h.Rooms[0], url, func(n int64) {
		if n < faultSize/4 {
			return
		}
		once.Do(func() {
			wg.Go(func() {
				if valid = h.takePart(blows, file); !valid {
					return
				}
				for _, b := range blows {
					if b.Begin != nil {
						wg.Go(func() { undo <- b.Begin(h.House, b.v) })
					}
				}
			})
		})
	})
	wg.Wait()
	close(undo)
	for u := range undo {
		u()
	}
	if err := h.Tried(); err != nil {
		h.t.Errorf("%s: %v", name, err)
	}
	i := h.download(h.Rooms[0])
	twice, lost := h.wasted(i, file, blows)
	h.t.Logf("%-50s %4.1f s, longest gap %4d ms, others brought twice %6d, lost %6d, %v, struck: %v", name, d.Total.Seconds(), d.Longest.Milliseconds(), twice, lost, bySource(i), valid)
	vain := int64(faultSize * 15 / 1000)
	for _, b := range blows {
		if b.Pauses { // it brings in the end what others had to fetch: of a slice, a second of its link
			vain += faultRate / 8
		}
	}
	return max(d.Longest.Seconds()/bound.Seconds(), float64(twice)/float64(vain), float64(lost)/float64(vain+unread)), valid
}

// takePart waits until each of those who are to be struck has brought bytes of the
// running download, or was refused by the origin if that is what happens to it.
func (h *house) takePart(blows []blow, file string) bool {
	h.t.Helper()
	for {
		i, all := h.download(h.Rooms[0]), true
		for _, b := range blows {
			all = all && (h.part(i, b.v).Bytes > 0 || b.Option != nil && h.from(b.v, file) > 0)
		}
		if all || i.State != "running" {
			return i.State == "running"
		}
	}
}

// part is what a room's own link did for a download of the first room.
func (h *house) part(i ranges.Info, r *hostel.Room) ranges.SourceInfo {
	for _, s := range i.Sources {
		if s.Kind == ranges.KindDirect && r == h.Rooms[0] || strings.HasPrefix(s.Name, r.Name+" ") {
			return s
		}
	}
	return ranges.SourceInfo{}
}

// wasted is what came in vain over the links of those who were not struck: what
// was brought twice, and what lenders' links carried that was of no use to the
// download. (Those who were struck had something in hand. Of the own link, what the
// kernel and HTTP/2 had taken in when the first request was cut is not counted.)
func (h *house) wasted(i ranges.Info, file string, blows []blow) (twice, lost int64) {
	h.t.Helper()
	for k, r := range h.Rooms {
		if slices.ContainsFunc(blows, func(b blow) bool { return b.v == r }) {
			continue
		}
		s := h.part(i, r)
		if twice += s.Wasted; k > 0 {
			lost += h.came(r, file) - s.Bytes
		}
	}
	return twice, lost
}

// came is what of a file has reached a room's address.
func (h *house) came(r *hostel.Room, file string) (n int64) {
	for _, e := range h.Origin.Log().For(file) {
		if host, _, _ := net.SplitHostPort(e.Remote); host == r.WAN.B.Addr() {
			n += max(0, e.Acked)
		}
	}
	return n
}

// prepare gives those whose quota will be used up one.
func (h *house) prepare(blows []blow) {
	h.t.Helper()
	for _, b := range blows {
		if b.Name == usedUp.Name {
			quota := h.peers(b.v).Self.Lent + usedQuota
			must(h.t, b.v.Stop())
			must(h.t, b.v.Serve(fmt.Sprintf("cluster: {lend: {quota: %dB/day}}\n", quota)))
			h.together()
			eventually(h.t, "it is known", func() bool { return h.quota(b.v) == quota })
		}
	}
}

// quota is what the first room knows of another one's.
func (h *house) quota(r *hostel.Room) int64 {
	for _, p := range h.peers(h.Rooms[0]).Members {
		if p.Name == r.Name {
			return p.Quota
		}
	}
	return -1
}

// mend brings the house back to where it was.
func (h *house) mend(blows []blow) {
	h.t.Helper()
	for _, b := range blows {
		if b.v != h.Rooms[0] {
			must(h.t, b.v.WAN.A.Shape(faultRate))
		}
		if b.Name == usedUp.Name {
			if lent, quota := h.lent(b.v), h.quota(b.v); lent < quota-mib || lent > quota+unread {
				h.t.Errorf("%s lent %d of %d bytes", b.v.Name, lent, quota)
			}
			must(h.t, b.v.Stop())
			must(h.t, b.v.Serve(hostel.Lend))
		}
		if !b.v.Running() {
			must(h.t, b.v.Start())
		}
	}
	h.together()
}

var faultRate = mbps(3)

// TestFaults: a lender fails in every way, alone and together with another one
// that fails in another way.
func TestFaults(t *testing.T) {
	t.Parallel()
	// As many that it is a while until the same one is struck again.
	h := newHouse(t, testbed.Config{}, faultRate, faultRate, faultRate, faultRate, faultRate)
	h.group(hostel.Lend)
	faults, turn := allFaults(), 0
	next := func() *hostel.Room {
		turn++
		return h.Rooms[1+turn%(len(h.Rooms)-1)]
	}
	for i, f := range faults {
		t.Run(f.Name, func(t *testing.T) {
			h := h.sub(t)
			h.strike(stallTime, blow{next(), f})
			h.strike(stallTime, blow{next(), f}, blow{next(), faults[(i+3)%len(faults)]})
		})
	}
}

// The requester's own link dies in mid-download, alone and together with a lender
// that fails in every way, or was dead from the start: the others bring it.
func TestOwnLinkDead(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, faultRate, faultRate, faultRate, faultRate)
	h.group(hostel.Lend)
	own := h.Rooms[0]
	t.Run("alone", func(t *testing.T) {
		h := h.sub(t)
		h.strike(stallTime, blow{own, wanCut})
		h.strike(stallTime, blow{own, blackHole})
	})
	for i, f := range allFaults() {
		t.Run("and "+f.Name, func(t *testing.T) {
			h := h.sub(t)
			h.strike(stallTime, blow{own, []hostel.Fault{wanCut, blackHole}[i%2]}, blow{h.Rooms[1+i%3], f})
		})
	}
	t.Run("and all pausing", func(t *testing.T) {
		h := h.sub(t)
		h.strike(pauseTime, blow{own, wanCut}, blow{h.Rooms[1], pausing}, blow{h.Rooms[2], pausing}, blow{h.Rooms[3], pausing})
	})
	for _, f := range []hostel.Fault{wanCut, blackHole} {
		t.Run(f.Name+" from the start", func(t *testing.T) {
			h := h.sub(t)
			undo := f.Begin(h.House, own)
			url := h.URL("https", "/24MiB/dead-"+strings.ReplaceAll(f.Name, " ", "-"))
			d := h.fetch(own, url, nil)
			undo()
			must(t, h.Tried())
			i := h.download(own)
			t.Logf("%.1f s, first byte after %.1f s, longest gap %d ms, %v", d.Total.Seconds(), d.First.Seconds(), d.Longest.Milliseconds(), bySource(i))
			if n := bySource(i)[ranges.KindDirect]; n > 0 {
				t.Errorf("%d bytes came over a dead link", n)
			}
			// Connecting has 1.5 s before others are asked.
			if d.First > 3*stallTime {
				t.Errorf("the first byte came after %v", d.First)
			}
		})
	}
}

// No line leads anywhere: the client is told so in time where nothing has come yet.
// In the middle it is neither told that all is there nor given up: lines come back.
func TestAllLinksDead(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, faultRate, faultRate, faultRate)
	h.group(hostel.Lend)
	own := h.Rooms[0]
	all := func(f hostel.Fault) (undo func()) {
		var undos []func()
		for _, r := range h.Rooms {
			undos = append(undos, f.Begin(h.House, r))
		}
		return func() {
			for _, u := range undos {
				u()
			}
		}
	}
	file := func(f hostel.Fault, kind string) string {
		return h.URL("https", "/24MiB/"+kind+"-"+strings.ReplaceAll(f.Name, " ", "-"))
	}
	// These come first: a connection that is kept for reuse does not say that its
	// line is dead.
	for _, f := range []hostel.Fault{blackHole, wanCut} {
		t.Run(f.Name+" from the start", func(t *testing.T) {
			h := h.sub(t)
			undo := all(f)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			began := time.Now()
			d := own.Fetch(ctx, file(f, "start"), nil)
			took := time.Since(began)
			undo()
			must(t, h.Tried())
			if t.Logf("%.1f s: %v", took.Seconds(), d.Err); d.Err == nil || !strings.HasPrefix(d.Err.Error(), "50") {
				t.Errorf("%d bytes, %v", d.Bytes, d.Err)
			}
			if took > deadTime {
				t.Errorf("that took %v", took)
			}
		})
	}
	for _, f := range []hostel.Fault{blackHole, wanCut} {
		t.Run(f.Name+" in the middle", func(t *testing.T) {
			h := h.sub(t)
			var once sync.Once
			var wg sync.WaitGroup
			var came, before atomic.Int64
			d := h.fetch(own, file(f, "middle"), func(n int64) {
				came.Store(n)
				if n < faultSize/4 {
					return
				}
				once.Do(func() {
					wg.Go(func() {
						undo := all(f)
						last := time.Now()
						eventually(t, "nothing comes any more", func() bool {
							if n := came.Load(); n != before.Swap(n) {
								last = time.Now()
							}
							return time.Since(last) > silence
						})
						if state := h.download(own).State; state != "running" {
							t.Errorf("the download is %s", state)
						}
						undo()
					})
				})
			})
			wg.Wait()
			must(t, h.Tried())
			t.Logf("%.1f s, longest gap %v, stopped at %d", d.Total.Seconds(), d.Longest, before.Load())
			if n := before.Load(); n == faultSize || d.Longest < silence {
				t.Errorf("%d bytes had come when all was dead, longest gap %v", n, d.Longest)
			}
		})
	}
}
