package wire

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"dtpx/internal/testbed/netns"
)

// openTUN makes a TUN device in the port's machine. The file may be read and
// written from anywhere; the device goes when it is closed.
func openTUN(p netns.Port) (f io.ReadWriteCloser, err error) {
	err = p.M.Do(func() error {
		f, err = tun(p.Dev)
		return err
	})
	return f, err
}

func tun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("name the device: %w", err)
	}
	// Only now: the poller refuses a TUN file that has no device yet.
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}
