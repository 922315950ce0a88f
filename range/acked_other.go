//go:build !linux

package ranges

import (
	"net"
	"time"
)

// unacked is not known here.
func unacked(net.Conn) bool { return false }

// roundTrip is not known here.
func roundTrip(net.Conn) time.Duration { return 0 }
