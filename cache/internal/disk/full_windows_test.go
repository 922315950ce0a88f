package disk

import "golang.org/x/sys/windows"

const errFull = windows.ERROR_DISK_FULL

var errHeld error = windows.ERROR_SHARING_VIOLATION
