package port

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// bound ties a listening socket to its interface: Linux accepts packets for an
// address of ours on any interface (the weak host model).
func bound(ifc string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), ifc) }); cerr != nil {
			return cerr
		}
		return err
	}
}
