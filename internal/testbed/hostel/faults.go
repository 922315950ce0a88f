package hostel

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Fault is something that happens to a room in mid-download. Begin returns how
// it is undone; both may be called from any goroutine, once each.
type Fault struct {
	Name  string
	Begin func(h *House, v *Room) (undo func())
	// Option, of the URL, is the fault where it is the origin's; Begin is nil then.
	Option func(v *Room) string
	// Pauses: all sources may be silent at a time.
	Pauses bool
}

func nothing() {}

// Faults are those of a lender. What needs a configuration of its own (a quota
// that ends) is not among them.
func Faults() []Fault {
	return []Fault{
		{Name: "killed", Begin: func(_ *House, v *Room) func() { v.Kill(); return nothing }},
		{Name: "frozen", Begin: func(h *House, v *Room) func() {
			h.tried(v.Freeze())
			return func() { h.tried(v.Thaw()) }
		}},
		{Name: "WAN cut", Begin: (*House).CutWAN},
		{Name: "LAN cut", Begin: func(h *House, v *Room) func() {
			h.tried(v.Switch.Down())
			return func() { h.tried(v.Switch.Up()) }
		}},
		{Name: "black hole", Begin: (*House).BlackHole},
		{Name: "trickling", Begin: func(h *House, v *Room) func() {
			h.tried(v.WAN.A.Shape(16e3))
			return nothing
		}},
		{Name: "pausing", Begin: (*House).Pause, Pauses: true},
		{Name: "restarted", Begin: func(h *House, v *Room) func() {
			v.Kill()
			h.tried(v.Start())
			return nothing
		}},
		{Name: "origin fails for its address", Option: func(v *Room) string { return "fault=503,from=" + v.WAN.B.Addr() }},
	}
}

// CutWAN pulls the cable of a room's internet link.
func (h *House) CutWAN(v *Room) (undo func()) {
	h.tried(v.WAN.A.Down())
	return func() { h.tried(v.WAN.A.Up()) }
}

// BlackHole lets nothing from the internet reach a room, and tells nobody.
func (h *House) BlackHole(v *Room) (undo func()) {
	h.tried(h.Internet.Run("ip", "route", "add", "blackhole", v.WAN.B.Addr()+"/32"))
	return func() { h.tried(h.Internet.Run("ip", "route", "del", "blackhole", v.WAN.B.Addr()+"/32")) }
}

// Readdressed is DHCP in mid-download.
func (h *House) Readdressed(v *Room, cidr string) (undo func()) {
	old := v.LAN.CIDR
	h.tried(v.Readdress(cidr))
	return func() { h.tried(v.Readdress(old)) }
}

// Pause freezes a room's dtpx for 0.3 to 2 s again and again.
func (h *House) Pause(v *Room) (undo func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			h.tried(v.Freeze())
			wait(ctx, 300*time.Millisecond+rand.N(1700*time.Millisecond))
			h.tried(v.Thaw())
			if !wait(ctx, 300*time.Millisecond+rand.N(1700*time.Millisecond)) {
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// tried notes that a fault or its end did not come about.
func (h *House) tried(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = errors.Join(h.failed, err)
}

// Tried is what kept faults from beginning or ending as they should since it was
// asked last: what was seen meanwhile says nothing.
func (h *House) Tried() (err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	err, h.failed = h.failed, nil
	return err
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
