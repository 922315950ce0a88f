package ranges

import (
	"net/http"
	"time"

	"dtpx/range/internal/sched"
)

// Some sites bind a session or a signed URL to the address that asked for it:
// they answer a member's address 403 although all is well for us. Such a member
// is out at its first slice; when two have met this, and none has been served,
// the host is remembered (decision 13: two members, inside the origin's TLS).

const noteNoPeers = "this host serves no other addresses than the one that asks first: members were not used"

// refusesAddress reports statuses that an address which may not ask is answered.
func refusesAddress(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone, http.StatusUnavailableForLegalReasons:
		return true
	}
	return false
}

// barredLocked says what a refusal through a peer means. One that has been
// served before has met an expired URL: the direct connection will meet it as
// well and renew it, the peer asks again a little later.
func (d *Download) barredLocked(id sched.SourceID, bad *fault) sched.Cause {
	o := d.sources[id-1]
	if d.plan.Stats(id, d.now()).Heads > 0 {
		return sched.Away
	}
	if o.turned++; d.sources[0].refused && o.turned < 3 {
		return sched.Away
	}
	if o.refused = refusesAddress(bad.status); !o.refused {
		return sched.Out
	}
	if names, served := d.barredNamesLocked(); len(names) == 2 && !served {
		for k, other := range d.sources {
			if other.Kind() == KindPeer { // nor will the others be served
				d.plan.Drop(schedID(k))
			}
		}
		d.noPeers = true
	}
	return sched.Out
}

// barredNamesLocked are the peers that the host refused; served says that it
// has served another one.
func (d *Download) barredNamesLocked() (names []string, served bool) {
	for k, o := range d.sources {
		if o.Kind() != KindPeer {
			continue
		}
		if o.refused {
			names = append(names, o.Name())
		}
		served = served || d.plan.Stats(schedID(k), d.now()).Heads > 0
	}
	return names, served
}

// learnBarred remembers a host that refused peers while it served us.
func (d *Download) learnBarred() {
	d.mu.Lock()
	names, served := d.barredNamesLocked()
	fine := d.plan.Stats(1, d.now()).Fresh > 0 && !d.sources[0].refused
	d.mu.Unlock()
	if len(names) == 0 || served || !fine || d.request.URL.Scheme != "https" {
		return
	}
	hosts := d.engine.Hosts
	hosts.learn(d.request.URL, func(f *HostFacts) {
		for _, n := range names {
			n = hosts.hash(n)
			if f.Barred != "" && f.Barred != n {
				f.NoPeers = true
			}
			f.Barred = n
		}
		f.BarredAt = time.Now().Unix()
	})
}
