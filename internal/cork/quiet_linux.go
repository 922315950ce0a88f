package cork

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const quietly = true

// maxIO is what one call may move: it keeps a processor for as long.
const maxIO = 256 << 10

// readNow is read(2) on a socket that does not block; EAGAIN says that there is
// nothing. The end of the stream is 0 and no error.
func readNow(fd uintptr, p []byte) (int, error) {
	return now(syscall.SYS_READ, fd, p)
}

func writeNow(fd uintptr, p []byte) (int, error) {
	return now(syscall.SYS_WRITE, fd, p[:min(len(p), maxIO)])
}

// setLowWater sets SO_RCVLOWAT.
func setLowWater(fd uintptr, n int) {
	v := int32(n)
	_, _, _ = syscall.RawSyscall6(syscall.SYS_SETSOCKOPT, fd, syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, uintptr(unsafe.Pointer(&v)), 4, 0)
}

// readable reports that SO_RCVLOWAT bytes are there, or the end of the stream, or
// an error, without taking any of it.
func readable(fd uintptr) bool {
	p := unix.PollFd{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}
	var at [2]int64 // no time at all, whatever a timespec is here
	n, _, e := syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
	return e != 0 || n > 0
}

func now(call, fd uintptr, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, _, e := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch e {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, e
		}
	}
}
