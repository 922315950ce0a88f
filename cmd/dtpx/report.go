package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"dtpx/cluster"
	"dtpx/proxy"
	ranges "dtpx/range"
)

// status is /api/v1/status and what dtpx status -json prints.
type status struct {
	Version    string            `json:"version"`
	PID        int               `json:"pid"`
	Listen     string            `json:"listen"`
	Started    time.Time         `json:"started"`
	Uptime     float64           `json:"uptime_seconds"`
	State      string            `json:"state"`
	Config     string            `json:"config,omitempty"`
	CA         caStatus          `json:"ca"`
	Accelerate bool              `json:"accelerate"`
	Intercept  bool              `json:"intercept"`
	Tunnelled  []proxy.Tunnelled `json:"tunnelled"`
	Running    int               `json:"running"`
	Group      string            `json:"group"` // "" = in none
	Peers      int               `json:"peers"` // that are here
	Spending   *cluster.Self     `json:"spending,omitempty"`
	Totals     ranges.Stats      `json:"totals"`
	Cache      cacheDoc          `json:"cache"`
	Later      []string          `json:"not_in_this_version"`
}

type caStatus struct {
	Path        string    `json:"path"`
	Fingerprint string    `json:"fingerprint"`
	Expires     time.Time `json:"expires"`
}

// Status implements proxy.Node.
func (n *node) Status() any { return n.status() }

func (n *node) status() status {
	totals := n.engine.Stats()
	group, peers := n.cluster.Here()
	return status{
		Version: version, PID: os.Getpid(), Listen: n.listen, Started: n.started, Uptime: time.Since(n.started).Seconds(),
		State: n.dir, Config: n.configFile,
		CA:         caStatus{n.path("ca.pem"), n.ca.Fingerprint(), n.ca.Certificate().NotAfter},
		Accelerate: n.cfg.Accelerate.Enabled, Intercept: n.cfg.Intercept.Enabled,
		Tunnelled: n.server.Tunnelled(), Running: totals.Active, Group: group, Peers: peers, Spending: n.cluster.Self(), Totals: totals, Cache: n.cacheDoc(), Later: []string{"setup", "why"},
	}
}

// Downloads implements proxy.Node.
func (n *node) Downloads() any { return n.engine.Downloads() }

// WriteMetrics implements proxy.Node.
func (n *node) WriteMetrics(w io.Writer) {
	s := n.engine.Stats()
	metric := func(name, kind, help string) {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	}
	metric("dtpx_heap_live_bytes", "gauge", "Memory that the last garbage collection found in use.")
	fmt.Fprintf(w, "dtpx_heap_live_bytes %d\n", liveHeap())
	metric("dtpx_downloads_active", "gauge", "Accelerated downloads that run now.")
	fmt.Fprintf(w, "dtpx_downloads_active %d\n", s.Active)
	metric("dtpx_downloads_total", "counter", "Accelerated downloads that have ended, by how.")
	for _, k := range sorted(s.Downloads) {
		fmt.Fprintf(w, "dtpx_downloads_total{state=%q} %d\n", k, s.Downloads[k])
	}
	metric("dtpx_download_bytes_total", "counter", "Body bytes of ended downloads, by kind of source.")
	for _, k := range sorted(s.Bytes) {
		fmt.Fprintf(w, "dtpx_download_bytes_total{source=%q} %d\n", k, s.Bytes[k])
	}
	for _, c := range []struct {
		name, help string
		value      int64
	}{
		{"dtpx_wasted_bytes_total", "Body bytes fetched for nothing.", s.Wasted},
		{"dtpx_passed_bytes_total", "Bytes of large responses that were not accelerated.", s.Passed},
		{"dtpx_slice_requests_total", "Range requests sent for ended downloads.", s.Requests},
		{"dtpx_slice_refused_total", "Range requests that servers refused.", s.Refused},
	} {
		metric(c.name, "counter", c.help)
		fmt.Fprintf(w, "%s %d\n", c.name, c.value)
	}
	n.writeCacheMetrics(w)
	n.writeClusterMetrics(w)
	metric("dtpx_start_time_seconds", "gauge", "When dtpx started, in seconds since 1970.")
	fmt.Fprintf(w, "dtpx_start_time_seconds %d\n", n.started.Unix())
}

func sorted(m map[string]int64) []string {
	ks := make([]string, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}
