package hostel

import (
	"context"
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
		{Name: "frozen", Begin: func(_ *House, v *Room) func() {
			_ = v.Freeze()
			return func() { _ = v.Thaw() }
		}},
		{Name: "WAN cut", Begin: (*House).CutWAN},
		{Name: "LAN cut", Begin: func(_ *House, v *Room) func() {
			_ = v.Switch.Down()
			return func() { _ = v.Switch.Up() }
		}},
		{Name: "black hole", Begin: (*House).BlackHole},
		{Name: "trickling", Begin: func(_ *House, v *Room) func() {
			_ = v.WAN.A.Shape(16e3)
			return nothing
		}},
		{Name: "pausing", Begin: (*House).Pause, Pauses: true},
		{Name: "restarted", Begin: func(_ *House, v *Room) func() {
			v.Kill()
			_ = v.Start()
			return nothing
		}},
		{Name: "origin fails for its address", Option: func(v *Room) string { return "fault=503,from=" + v.WAN.B.Addr() }},
	}
}

// CutWAN pulls the cable of a room's internet link.
func (h *House) CutWAN(v *Room) (undo func()) {
	_ = v.WAN.A.Down()
	return func() { _ = v.WAN.A.Up() }
}

// BlackHole lets nothing from the internet reach a room, and tells nobody.
func (h *House) BlackHole(v *Room) (undo func()) {
	_ = h.Internet.Run("ip", "route", "add", "blackhole", v.WAN.B.Addr()+"/32")
	return func() { _ = h.Internet.Run("ip", "route", "del", "blackhole", v.WAN.B.Addr()+"/32") }
}

// Pause freezes a room's dtpx for 0.3 to 2 s again and again.
func (h *House) Pause(v *Room) (undo func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			_ = v.Freeze()
			wait(ctx, 300*time.Millisecond+rand.N(1700*time.Millisecond))
			_ = v.Thaw()
			if !wait(ctx, 300*time.Millisecond+rand.N(1700*time.Millisecond)) {
				return
			}
		}
	}()
	return func() { cancel(); <-done }
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
