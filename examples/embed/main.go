// Command embed downloads a URL with the engine alone: an ordinary http.Client
// whose transport splits large downloads. No proxy, no CA, no state.
//
//	go run ./examples/embed https://example.org/large.iso > large.iso
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	ranges "dtpx/range"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: embed URL > FILE")
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.DisableCompression = true // ranges are of the bytes as they are sent
	engine := &ranges.Engine{}
	defer engine.Close()
	client := &http.Client{Transport: &ranges.Transport{Base: base, Engine: engine}}

	resp, err := client.Get(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		log.Fatal(resp.Status)
	}
	if _, err := io.Copy(os.Stdout, resp.Body); err != nil {
		log.Fatal(err) // never a short body that looks whole
	}
	for _, d := range engine.Downloads() {
		for _, s := range d.Sources {
			fmt.Fprintf(os.Stderr, "%s: %d bytes in %d requests\n", s.Kind, s.Bytes, s.Requests)
		}
	}
}
