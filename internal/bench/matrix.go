package main

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	ranges "dtpx/range"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
)

// blow is a fault that happens to one of the rooms.
type blow struct {
	hostel.Fault
	room int
}

func (b blow) String() string {
	if b.room == 0 {
		return "own " + b.Name
	}
	return "a lender " + b.Name
}

// ownFaults are those of the requester's own link.
var ownFaults = []hostel.Fault{{Name: "link cut", Begin: (*hostel.House).CutWAN}, {Name: "link black hole", Begin: (*hostel.House).BlackHole}}

// matrix: every fault alone.
func (b *bench) matrix() (rows []row, err error) {
	for _, f := range hostel.Faults() {
		if rows, err = b.strike(rows, blow{f, 1}); err != nil {
			return rows, err
		}
	}
	for _, f := range ownFaults {
		if rows, err = b.strike(rows, blow{f, 0}); err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// pairs: every fault of a lender together with the requester's own link dying, and with
// another lender's.
func (b *bench) pairs() (rows []row, err error) {
	faults := hostel.Faults()
	for i, f := range faults {
		if rows, err = b.strike(rows, blow{ownFaults[i%2], 0}, blow{f, 1}); err != nil {
			return rows, err
		}
		if rows, err = b.strike(rows, blow{f, 1}, blow{faults[(i+3)%len(faults)], 2}); err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// strike lets faults happen at a third of a download.
func (b *bench) strike(rows []row, blows ...blow) ([]row, error) {
	const size = 64
	h, err := b.house(testbed.Config{NoH2: true}, unlimited, 4, 4, 4, 4)
	if err != nil {
		return rows, err
	}
	defer h.close()
	limit, name := 1.0, ""
	for i, b := range blows {
		if i > 0 {
			name += ", "
		}
		name += b.String()
		if b.Option != nil {
			h.option = b.Option(h.Rooms[b.room])
		}
		if b.Pauses {
			limit = 3
		}
	}
	var onceOnly sync.Once
	var running sync.WaitGroup
	undo := make(chan func(), len(blows))
	t, err := h.fetch(h.Rooms[0], size, func(n int64) {
		if n > size*mib/3 {
			onceOnly.Do(func() {
				for _, b := range blows {
					if b.Begin != nil {
						running.Go(func() { undo <- b.Begin(h.House, h.Rooms[b.room]) })
					}
				}
			})
		}
	})
	running.Wait()
	close(undo)
	for u := range undo {
		u()
	}
	if err == nil {
		err = h.Tried()
	}
	if err != nil {
		return rows, fmt.Errorf("%s: %w", name, err)
	}
	return append(rows,
		row{name, "longest gap, s", t.Longest.Seconds(), limit, true, fmt.Sprintf("%.2f s", t.Total.Seconds())},
		row{name, "wasted by the others, %", 100 * float64(h.wastedBeside(blows, t)) / (size * mib), 1.5, true,
			fmt.Sprintf("duplicates by its own account %.2f %%", 100*float64(t.info.Duplicate)/(size*mib))}), nil
}

// wastedBeside is what came in vain over the links of those who were not struck: what
// the origin knows to have arrived there and the requester did not get, or
// got twice. The house has seen no other download.
func (h *house) wastedBeside(blows []blow, t trip) (n int64) {
	for k, r := range h.Rooms {
		if slices.ContainsFunc(blows, func(b blow) bool { return b.room == k }) {
			continue
		}
		var s ranges.SourceInfo
		for _, one := range t.info.Sources {
			if one.Kind == ranges.KindDirect && k == 0 || strings.HasPrefix(one.Name, r.Name+" ") {
				s = one
			}
		}
		came := int64(0)
		for _, e := range h.Origin.Log().Entries() {
			if host, _, _ := net.SplitHostPort(e.Remote); host == r.WAN.B.Addr() {
				came += max(0, e.Acked)
			}
		}
		n += max(s.Wasted, came-s.Bytes)
	}
	return n
}
