package ranges_test

import (
	"fmt"
	"io"
	"net/http"

	"dtpx/internal/testbed"
	ranges "dtpx/range"
)

// A program's own http.Client gets faster by one line: its transport.
func Example() {
	origin, err := testbed.New(testbed.Config{TLSListen: "off", Limits: testbed.Limits{PerConn: 8 << 20}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer origin.Close()

	engine := &ranges.Engine{} // one for the whole program
	defer engine.Close()
	base := &http.Transport{DisableCompression: true}
	defer base.CloseIdleConnections()
	client := &http.Client{Transport: &ranges.Transport{Base: base, Engine: engine}}

	resp, err := client.Get(testbed.URL(origin.HTTP, "24MiB/file.iso"))
	if err != nil {
		fmt.Println(err)
		return
	}
	n, err := io.Copy(io.Discard, resp.Body) // in order, from the first byte on
	resp.Body.Close()
	fmt.Println(n, err)

	download := engine.Downloads()[0]
	fmt.Println(download.State, download.Sources[0].Kind, download.Sources[0].Requests > 1)
	// Output:
	// 25165824 <nil>
	// done direct true
}
