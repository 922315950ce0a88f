package main

import (
	"context"
	"crypto/tls"
	"net/http"
	"os"

	"github.com/elazarl/goproxy"
)

// ctx is what commands run under: nothing here is cancelled.
var ctx = context.Background()

// bareProxy is the plainest intercepting proxy that goproxy makes: what dtpx is
// compared with where acceleration cannot help.
func bareProxy(addr string) error {
	p := goproxy.NewProxyHttpServer()
	p.Tr = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true}
	p.OnRequest().HandleConnect(goproxy.AlwaysMitm)
	return http.ListenAndServe(addr, p)
}

func (b *bench) bare() (*node, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	n := &node{addr: "127.0.0.1:" + freePort()}
	if n.process, err = start(local, self, "bare", n.addr); err != nil {
		return nil, err
	}
	return n, waitFor(func() error {
		return local(ctx, "curl", "-s", "-o", "/dev/null", "--noproxy", "*", "http://"+n.addr+"/").Run()
	})
}
