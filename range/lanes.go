package ranges

import (
	"net/http"

	"dtpx/range/internal/sched"
)

// laneLocked takes the lane of the request that this one is to follow, an idle
// lane of the source, or a new one.
func (d *Download) laneLocked(a sched.Action) Lane {
	if a.Behind != 0 {
		if lane := d.nextLocked(a.Behind); lane != nil {
			return lane
		}
		d.plan.Unfollow(a.Req, d.now())
	}
	o := d.sources[a.Source-1]
	if n := len(o.lanes); n > 0 {
		lane := o.lanes[n-1]
		o.lanes = o.lanes[:n-1]
		return lane
	}
	return o.Lane(d.target)
}

// nextLocked is a lane behind the answer that the request id is reading.
func (d *Download) nextLocked(id sched.ID) Lane {
	f := d.fetches[id]
	if f == nil {
		return nil
	}
	p, ok := f.lane.(pipeline)
	if !ok {
		return nil
	}
	next := p.Next()
	if next != nil {
		f.lane = nil
	}
	return next
}

// passed says that f has read its answer; it reports whether another request
// has its lane now.
func (d *Download) passed(f *fetch) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	passed := f.lane == nil
	f.lane = nil
	return passed
}

// noteBalk keeps requests from following others at a host that does not bear it.
func (d *Download) noteBalk(lane Lane) {
	if p, ok := lane.(pipeline); ok && p.Balked() {
		d.oneByOne()
	}
}

// misplaced reports that a bad answer came behind another one: a host that
// confuses them is asked one by one from now on, and no source is to blame. A
// refusal is one wherever it comes.
func (d *Download) misplaced(lane Lane, bad *fault) bool {
	p, ok := lane.(pipeline)
	if !ok || !p.Followed() || bad.status/100 > 2 && bad.status != http.StatusBadRequest {
		return false
	}
	d.oneByOne()
	return true
}

func (d *Download) oneByOne() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.plan.NoFollowing()
	d.engine.Log.Debug("host does not answer one request behind another", "id", d.id)
}

// parkLane keeps a lane for the next request of its source.
func (d *Download) parkLane(f *fetch, lane Lane) {
	d.mu.Lock()
	o := d.sources[f.src-1]
	keep := !d.closed && !d.plan.Complete()
	if keep {
		o.lanes = append(o.lanes, lane)
	}
	d.mu.Unlock()
	if !keep {
		lane.Close()
	}
}

// dropLanesLocked closes the idle lanes: they lead to another address.
func (d *Download) dropLanesLocked() {
	for _, o := range d.sources {
		for _, l := range o.lanes {
			l.Close()
		}
		o.lanes = nil
	}
}
