package port

import "golang.org/x/sys/unix"

// changes says whether links or addresses may have changed, for the price of one
// system call; listing them takes two dozen.
type changes struct{ fd int }

// newChanges listens from now on. Where that is not allowed, any is always true.
func newChanges() *changes {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return &changes{-1}
	}
	to := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR}
	if unix.Bind(fd, to) != nil {
		unix.Close(fd)
		return &changes{-1}
	}
	return &changes{fd}
}

// any reports whether something has been told since the last time.
func (c *changes) any() (told bool) {
	var one [1]byte // what it was does not matter
	for {
		switch _, _, err := unix.Recvfrom(c.fd, one[:], unix.MSG_DONTWAIT); err {
		case unix.EAGAIN:
			return told
		case nil, unix.EINTR:
			told = told || err == nil
		case unix.ENOBUFS: // more than the socket could hold
			told = true
		default:
			return true
		}
	}
}

func (c *changes) close() {
	if c.fd >= 0 {
		unix.Close(c.fd)
		c.fd = -1
	}
}
