package sched

import "time"

const (
	binTime   = 250 * time.Millisecond
	ewmaShare = 0.35 // weight of the newest bin
	firstLook = 20 * time.Millisecond
)

// meter estimates bytes/s over the time in which there was work: an EWMA over
// bins of binTime of busy time.
type meter struct {
	rate  float64 // 0 = unknown
	last  float64 // of the newest whole bin
	bytes int64   // of the running bin
	busy  time.Duration
	bins  int
}

// add notes n bytes and busy time. Several lanes add up their busy times, so
// that rate is the rate of one lane.
func (m *meter) add(n int64, busy time.Duration) {
	m.bytes += n
	m.busy += busy
	if m.busy < binTime {
		return
	}
	sample := float64(m.bytes) / m.busy.Seconds()
	if m.bins == 0 { // anything earlier was a guess
		m.rate = sample
	} else {
		m.rate += ewmaShare * (sample - m.rate)
	}
	m.last = sample
	m.bins++
	m.bytes, m.busy = 0, 0
}

// now is the estimate, from the running bin if there is no whole one yet.
func (m *meter) now() float64 {
	if m.rate == 0 && m.busy >= firstLook {
		return float64(m.bytes) / m.busy.Seconds()
	}
	return m.rate
}

// window counts bytes over the last seconds in bins of binTime.
type window struct {
	bins [12]int64
	last int64 // number of the newest bin
}

func (w *window) add(n int64, now Time) {
	w.roll(now)
	w.bins[w.last%int64(len(w.bins))] += n
}

func (w *window) roll(now Time) {
	for bin := int64(now / binTime); w.last < bin; {
		w.last++
		w.bins[w.last%int64(len(w.bins))] = 0
	}
}

// over is the rate in bytes/s over the n newest whole bins.
func (w *window) over(n int, now Time) float64 {
	w.roll(now)
	sum := int64(0)
	for i := 1; i <= n; i++ {
		if k := w.last - int64(i); k >= 0 {
			sum += w.bins[k%int64(len(w.bins))]
		}
	}
	return float64(sum) / (time.Duration(n) * binTime).Seconds()
}

// lately is the rate in bytes/s over the running bin and the one before it.
func (w *window) lately(now Time) float64 {
	w.roll(now)
	sum, span := w.bins[w.last%int64(len(w.bins))], now-Time(w.last)*binTime
	if w.last > 0 {
		sum, span = sum+w.bins[(w.last-1)%int64(len(w.bins))], span+binTime
	}
	return float64(sum) / max(span, time.Millisecond).Seconds()
}
