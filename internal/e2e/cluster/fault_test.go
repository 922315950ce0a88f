package cluster

import (
	"strings"
	"sync"
	"testing"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
)

// All of the fault matrix is about bytes: the right ones, all of them. How long
// it takes is measured by internal/bench.
const faultSize = 24

// strike downloads in the first room and lets faults happen to other rooms when
// a quarter has come.
func (h *house) strike(name string, faults map[*hostel.Room]hostel.Fault) hostel.Download {
	h.t.Helper()
	var options []string
	for v, f := range faults {
		if f.Option != nil {
			options = append(options, f.Option(v))
		}
	}
	url := h.URL("https", "/24MiB/"+strings.ReplaceAll(name, " ", "-"), options...)
	var once sync.Once
	var wg sync.WaitGroup
	undo := make(chan func(), len(faults))
	d := h.fetch(h.Rooms[0], url, func(n int64) {
		if n < faultSize*mib/4 {
			return
		}
		once.Do(func() {
			for v, f := range faults {
				if f.Begin != nil {
					wg.Go(func() { undo <- f.Begin(h.House, v) })
				}
			}
		})
	})
	wg.Wait()
	close(undo)
	for u := range undo {
		u()
	}
	i := h.download(h.Rooms[0])
	h.t.Logf("%-40s %5.1f s, longest gap %4d ms, %v", name, d.Total.Seconds(), d.Longest.Milliseconds(), bySource(i))
	return d
}

// mend brings the house back to where it was.
func (h *house) mend() {
	h.t.Helper()
	for _, r := range h.Rooms {
		must(h.t, r.WAN.A.Shape(mbps(4)))
		if !r.Running() {
			must(h.t, r.Start())
		}
	}
	h.together()
}

// anotherAddress is DHCP in mid-download.
var anotherAddress = hostel.Fault{Name: "another address", Begin: func(_ *hostel.House, v *hostel.Room) func() {
	old := v.LAN.CIDR
	_ = v.Readdress("10.9.0.1" + strings.TrimPrefix(old, "10.9.0."))
	return func() { _ = v.Readdress(old) }
}}

// TestFaults: a lender fails in every way, alone and together with another one
// that fails in another way.
func TestFaults(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, mbps(4), mbps(4), mbps(4), mbps(4))
	h.group(hostel.Lend)
	faults := append(hostel.Faults(), anotherAddress)
	for i, f := range faults {
		t.Run(f.Name, func(t *testing.T) {
			h := &house{h.House, t}
			other := faults[(i+3)%len(faults)]
			h.strike(f.Name, map[*hostel.Room]hostel.Fault{h.Rooms[1]: f})
			h.mend()
			h.strike(f.Name+" and "+other.Name, map[*hostel.Room]hostel.Fault{h.Rooms[1]: f, h.Rooms[2]: other})
			h.mend()
		})
	}
}

// The requester's own link dies in mid-download, or was dead from the start:
// the others bring it alone.
func TestOwnLinkDead(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testbed.Config{}, mbps(4), mbps(4), mbps(4))
	h.group(hostel.Lend)
	own := h.Rooms[0]
	t.Run("from the middle", func(t *testing.T) {
		h := &house{h.House, t}
		h.strike("own link", map[*hostel.Room]hostel.Fault{own: {Begin: (*hostel.House).CutWAN}})
		h.strike("own link black hole", map[*hostel.Room]hostel.Fault{own: {Begin: (*hostel.House).BlackHole}})
	})
	t.Run("from the start", func(t *testing.T) {
		h := &house{h.House, t}
		h.CutWAN(own)
		d := h.fetch(own, h.URL("https", "/24MiB/dead"), nil)
		t.Logf("%.1f s, first byte after %.1f s", d.Total.Seconds(), d.First.Seconds())
	})
}
