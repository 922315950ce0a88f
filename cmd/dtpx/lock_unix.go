//go:build !windows

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes the lock on f that the system releases when the process ends,
// however it ends.
func tryLock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
