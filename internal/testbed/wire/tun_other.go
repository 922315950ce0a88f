//go:build !linux

package wire

import (
	"errors"
	"io"

	"dtpx/internal/testbed/netns"
)

func openTUN(netns.Port) (io.ReadWriteCloser, error) {
	return nil, errors.New("TUN devices need Linux")
}
