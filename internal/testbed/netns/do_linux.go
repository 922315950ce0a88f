package netns

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Do runs f on a thread that is in the machine. Sockets and devices that f makes
// stay there; goroutines that f starts are not there.
func (m *Machine) Do(f func() error) error {
	result := make(chan error)
	go func() { result <- m.enter(f) }()
	return <-result
}

// enter has a goroutine of its own: if the way back fails, the thread ends with it.
func (m *Machine) enter(f func() error) error {
	runtime.LockOSThread()
	home, err := open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer unix.Close(home)
	there, err := open("/run/netns/" + m.name)
	if err != nil {
		return err
	}
	defer unix.Close(there)
	if err := unix.Setns(there, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter %s: %w", m.name, err)
	}
	err = f()
	if unix.Setns(home, unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

// sendAsUsual needs no congestion control to be allowed in the namespace, as a sysctl
// would: root may choose any by socket.
func sendAsUsual(_, _ string, c syscall.RawConn) (err error) {
	cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
	})
	if err != nil {
		err = fmt.Errorf("choose cubic: %w", err)
	}
	return errors.Join(cerr, err)
}

func open(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", path, err)
	}
	return fd, nil
}
