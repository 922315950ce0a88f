package relay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
)

// BenchmarkTunnel compares the splice with the copy that a TLS leg needs, over
// loopback: go test -bench . -benchtime 4x. One operation is 256 MiB.
func BenchmarkTunnel(b *testing.B) {
	b.Run("splice", func(b *testing.B) { bench(b, func(c net.Conn) net.Conn { return c }) })
	b.Run("copy", func(b *testing.B) { bench(b, func(c net.Conn) net.Conn { return struct{ net.Conn }{c} }) })
}

func bench(b *testing.B, wrap func(net.Conn) net.Conn) {
	const size = 256 << 20
	far, near := listen(b), listen(b)
	s := &Server{Rules: Rules{
		Ports: []int{far.Addr().(*net.TCPAddr).Port},
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}}
	var wg sync.WaitGroup
	serve := func(l net.Listener, f func(net.Conn)) {
		wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				wg.Go(func() { f(c) })
			}
		})
	}
	block := make([]byte, 1<<20)
	serve(far, func(c net.Conn) {
		defer c.Close()
		for range size / len(block) {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	})
	serve(near, func(c net.Conn) { _ = s.ServeConn(b.Context(), wrap(c), "anna") })
	b.SetBytes(size)
	for b.Loop() {
		c, err := net.Dial("tcp", near.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(c, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", far.Addr())
		r := bufio.NewReaderSize(c, 256<<10)
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
			b.Fatal(resp, err)
		}
		if n, err := io.Copy(io.Discard, io.LimitReader(r, size)); n != size || err != nil {
			b.Fatal(n, err)
		}
		c.Close()
	}
	s.Close()
	far.Close()
	near.Close()
	wg.Wait()
}
