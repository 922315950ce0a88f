package ranges

import (
	"net"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindControl binds a socket to ifc with IP_BOUND_IF.
func bindControl(ifc *net.Interface) (func(network, address string, c syscall.RawConn) error, error) {
	return func(network, _ string, c syscall.RawConn) error {
		level, opt := unix.IPPROTO_IP, unix.IP_BOUND_IF
		if strings.HasSuffix(network, "6") {
			level, opt = unix.IPPROTO_IPV6, unix.IPV6_BOUND_IF
		}
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, opt, ifc.Index) }); cerr != nil {
			return cerr
		}
		return err
	}, nil
}
