//go:build !linux

package cork

import (
	"errors"
	"time"
)

const quietly = false

// readNow is for Linux.
func readNow(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

func writeNow(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

func setLowWater(uintptr, int) {}

func readable(uintptr) bool { return true }

type alarm struct{}

func newAlarm(func()) (*alarm, error) { return nil, errors.ErrUnsupported }

func (*alarm) in(time.Duration) {}

func (*alarm) stop() {}
