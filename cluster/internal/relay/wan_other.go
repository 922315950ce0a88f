//go:build !linux

package relay

import "net"

func wanBytes(net.Conn) (received, sent int64, ok bool) { return 0, 0, false }
