//go:build !linux && !darwin && !windows

package ranges

import (
	"errors"
	"net"
	"syscall"
)

func bindControl(*net.Interface) (func(network, address string, c syscall.RawConn) error, error) {
	return nil, errors.New("binding to an interface is not supported on this system")
}
