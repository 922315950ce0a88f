package port

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// tied says that sockets are bound to interfaces.
const tied = true

// bound ties a listening socket to its interface: Linux accepts packets for an
// address of ours on any interface (the weak host model). Kernels before 5.7 allow
// that with CAP_NET_RAW only; there the address alone has to do, as on other systems.
func bound(ifc string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), ifc) }); cerr != nil {
			return cerr
		}
		if err == unix.EPERM {
			return nil
		}
		return err
	}
}
