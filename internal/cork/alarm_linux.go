package cork

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// alarm is a timer of the kernel. One that is set again before it goes off
// costs a system call, where a timer of the runtime wakes a thread at the
// time that it was set to first.
type alarm struct {
	file *os.File
	raw  syscall.RawConn
}

// newAlarm makes one that calls ring each time it goes off.
func newAlarm(ring func()) (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	a := &alarm{file: os.NewFile(uintptr(fd), "timerfd")}
	if a.raw, err = a.file.SyscallConn(); err != nil {
		a.file.Close()
		return nil, err
	}
	go func() {
		for a.wait() {
			ring()
		}
	}()
	return a, nil
}

// wait returns true when the alarm has gone off and false when it was stopped.
func (a *alarm) wait() bool {
	var times [8]byte
	var err error
	stopped := a.raw.Read(func(fd uintptr) bool {
		_, err = now(syscall.SYS_READ, fd, times[:])
		return err != syscall.EAGAIN
	})
	return stopped == nil && err == nil
}

// in sets it to go off once, after d.
func (a *alarm) in(d time.Duration) {
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(d, 1)))}
	_ = a.raw.Control(func(fd uintptr) {
		_, _, _ = syscall.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
	})
}

func (a *alarm) stop() { a.file.Close() }
