package ranges

import (
	"encoding/binary"
	"net"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// IP_UNICAST_IF and IPV6_UNICAST_IF of ws2ipdef.h.
const unicastIf = 31

// bindControl binds a socket to ifc. The IPv4 option wants the index in
// network byte order, the IPv6 one in host order.
func bindControl(ifc *net.Interface) (func(network, address string, c syscall.RawConn) error, error) {
	return func(network, _ string, c syscall.RawConn) error {
		level, value := windows.IPPROTO_IP, int(ifc.Index)
		if strings.HasSuffix(network, "6") {
			level = windows.IPPROTO_IPV6
		} else {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], uint32(ifc.Index))
			value = int(*(*int32)(unsafe.Pointer(&b[0])))
		}
		var err error
		if cerr := c.Control(func(fd uintptr) { err = windows.SetsockoptInt(windows.Handle(fd), level, unicastIf, value) }); cerr != nil {
			return cerr
		}
		return err
	}, nil
}
