//go:build !windows

package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes the lock on f that the system releases when the process ends,
// however it ends.
func tryLock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrInUse
	}
	return err
}

func freeSpace(path string) (free, size int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}

// makeSparse does nothing: files have holes by themselves.
func makeSparse(*os.File) {}

// isFull says that the disk or the user's quota has no room.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// isOwn says that the failure is this file's or this process's, not the disk's:
// a file too large for the file system, too many open files.
func isOwn(err error) bool {
	return errors.Is(err, unix.EFBIG) || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// isHeld says that a file cannot be removed while it is open.
func isHeld(error) bool { return false }
