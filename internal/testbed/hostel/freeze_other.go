//go:build !unix

package hostel

import "errors"

// Freeze needs signals, as the whole house needs Linux.
func (r *Room) Freeze() error { return errors.ErrUnsupported }

// Thaw ends Freeze.
func (r *Room) Thaw() error { return errors.ErrUnsupported }
