//go:build !linux

package cork

import "errors"

const quietly = false

// ReadNow is for Linux.
func ReadNow(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

func writeNow(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

func setLowWater(uintptr, int) {}
