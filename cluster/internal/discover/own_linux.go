package discover

import (
	"errors"
	"net"
	"reflect"

	"golang.org/x/sys/unix"
)

// ownLink makes the library's server hear its own link only: by default Linux gives a
// socket what comes to a group on any interface where somebody has joined it. The
// library does not give its sockets out; if it renames them, TestAnswersOfOneLink fails.
func (s *server) ownLink(ifc string) error {
	return errors.Join(
		s.set("ipv4List", func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0) }),
		// IPV6_MULTICAST_ALL does not ask where the group was joined.
		s.set("ipv6List", func(fd int) error { return unix.BindToDevice(fd, ifc) }))
}

// set changes a socket of the library's, if it has it.
func (s *server) set(field string, change func(fd int) error) error {
	v := reflect.ValueOf(s.Server).Elem().FieldByName(field)
	if !v.IsValid() || v.Type() != reflect.TypeFor[*net.UDPConn]() || v.IsNil() {
		return nil
	}
	raw, err := (*net.UDPConn)(v.UnsafePointer()).SyscallConn()
	if err != nil {
		return err
	}
	var changed error
	err = raw.Control(func(fd uintptr) { changed = change(int(fd)) })
	return errors.Join(err, changed)
}
