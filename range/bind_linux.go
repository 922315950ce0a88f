package ranges

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindControl binds a socket to ifc. SO_BINDTODEVICE works without privilege
// since Linux 5.7; a local address alone would leave by the default route.
func bindControl(ifc *net.Interface) (func(network, address string, c syscall.RawConn) error, error) {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), ifc.Name) }); cerr != nil {
			return cerr
		}
		return err
	}, nil
}
