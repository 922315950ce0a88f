//go:build !linux

package testbed

import "net"

// tcpAcked is unknown here.
func tcpAcked(*net.TCPConn) int64 { return -1 }

func tcpGone(*net.TCPConn) bool { return true }
