//go:build !linux

package tcpinfo

import "syscall"

// Known says that this system tells.
const Known = false

func ask(syscall.RawConn) (Info, bool) { return Info{}, false }
