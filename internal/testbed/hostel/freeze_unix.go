//go:build unix

package hostel

import "syscall"

// Freeze stops dtpx as a machine that sleeps; Thaw wakes it.
func (r *Room) Freeze() error { return r.Signal(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (r *Room) Thaw() error { return r.Signal(syscall.SIGCONT) }
