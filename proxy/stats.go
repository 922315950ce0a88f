package proxy

import (
	"fmt"
	"io"
	"sync/atomic"
)

// stats counts since the start.
type stats struct {
	requests    atomic.Int64 // sent to the transport
	failed      atomic.Int64 // no response: a page instead
	aborted     atomic.Int64 // broken off after the first byte
	tunnels     atomic.Int64 // CONNECT passed through
	intercepted atomic.Int64 // CONNECT read
	refused     atomic.Int64 // our certificate refused
	upgrades    atomic.Int64 // switched to another protocol
	limited     atomic.Int64 // beyond what one client may have at a time
}

func (s *stats) write(w io.Writer) {
	for _, c := range []struct {
		name, help string
		value      *atomic.Int64
	}{
		{"requests", "Requests sent on.", &s.requests},
		{"failed", "Requests answered with an error page.", &s.failed},
		{"aborted", "Responses broken off after the first byte.", &s.aborted},
		{"tunnels", "CONNECT requests passed through.", &s.tunnels},
		{"intercepted", "CONNECT requests intercepted.", &s.intercepted},
		{"refused", "Connections whose client refused our certificate.", &s.refused},
		{"upgrades", "Connections switched to another protocol.", &s.upgrades},
		{"limited", "Requests and connections refused because their client had too many at a time.", &s.limited},
	} {
		name := "dtpx_proxy_" + c.name + "_total"
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s counter\n%s %d\n", name, c.help, name, name, c.value.Load())
	}
}
