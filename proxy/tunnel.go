package proxy

import (
	"io"
	"sync"
)

// relay copies both ways until both have ended. An end of one direction is
// passed on as such (protocols half-close); an error ends both.
// Two *net.TCPConn are spliced in the kernel: io.Copy sees them bare.
func relay(a, b stream) {
	var other sync.WaitGroup
	other.Go(func() { pass(a, b) })
	pass(b, a)
	other.Wait()
	a.Close()
	b.Close()
}

func pass(dst, src stream) {
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		src.Close()
		return
	}
	_ = closeWrite(dst)
}
