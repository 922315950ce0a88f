//go:build !windows

package disk

import "golang.org/x/sys/unix"

const errFull = unix.ENOSPC

// errHeld: here files can be removed while they are open.
var errHeld error
