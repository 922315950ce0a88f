//go:build !linux

package port

import "syscall"

// bound does nothing here: the address that a socket is bound to is all there
// is to keep other interfaces out.
func bound(string) func(network, address string, c syscall.RawConn) error { return nil }

// tied says that sockets are bound to interfaces.
const tied = false
