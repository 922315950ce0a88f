package ranges_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"dtpx/internal/testbed"
)

// singleFaults are all that the testbed can do to one reply and that a client can
// notice.
var singleFaults = []struct {
	fault string
	first bool // survivable when slice 0 has it
}{
	{"ignore-range", true},
	{"wrong-range", true},
	{"wrong-total", true},
	{"no-content-range", true},
	{"bad-content-range,value=bytes 5-4/3", true},
	{"bad-content-range,value=bytes 0-99999999999999999999/*", true},
	{"bad-length,value=-5", false},
	{"short-206", true},
	{"long-206", true},
	{"extra", true},
	{"new-etag", true},
	{"new-version", true},
	{"no-etag", true},
	{"multipart", true},
	{"gzip", true},
	{"chunked", true},
	{"http10", true},
	{"403", false},
	{"404", false},
	{"410", false},
	{"416", false},
	{"429,retry=1s", false},
	{"500", false},
	{"503", false},
	{"slow-headers,for=300ms", true},
	{"drop", false},
	{"drop-reset", false},
	{"truncate", true},
	{"reset", true},
	{"stall", true},
	{"stall,after=0", true},
	{"pause,for=700ms", true},
	{"trickle,rate=1KiB", true},
}

// TestSingleFaults runs every fault of the testbed at the first, a middle and
// the last slice over real sockets. The client must get the right bytes or an
// error; where another request could bring the bytes, it must get the bytes.
func TestSingleFaults(t *testing.T) {
	for _, f := range singleFaults {
		for _, at := range []string{"first", "middle", "last"} {
			if at == "first" && (f.fault == "gzip" || f.fault == "new-version") {
				continue // a good answer, but not with the content compared here
			}
			t.Run(f.fault+" at "+at, func(t *testing.T) {
				t.Parallel()
				checkFault(t, f.fault+",times=1,at="+at, at != "first" || f.first)
			})
		}
	}
}

// TestSecondRequestFails is a server that serves the client's own request and
// spoils every other one: one-time links, no ranges, limits of one. Slice 0
// must go on alone as if nothing had been tried.
func TestSecondRequestFails(t *testing.T) {
	for _, fault := range []string{
		"ignore-range", "wrong-range", "wrong-total", "no-content-range", "short-206", "new-etag", "new-version",
		"no-etag", "multipart", "gzip", "403", "404", "410", "416", "429", "500", "503", "hang", "drop",
		"drop-reset", "slow-headers,for=3s", "stall,after=0", "truncate,after=0", "reset,after=1",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			checkFault(t, fault+",req=2-", true)
		})
	}
}

// checkFault downloads a file with a fault through a throttled origin.
func checkFault(t *testing.T, fault string, survives bool) {
	b := newBed(t, testbed.Config{TLSListen: "off", Limits: testbed.Limits{PerConn: 2 << 20}})
	url := testbed.URL(b.origin.HTTP, "2560KiB/file.bin", "fault="+fault)
	req, _ := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	resp, err := b.client.Do(req)
	if err == nil && resp.StatusCode == http.StatusOK {
		err = readInTime(b, url, resp)
		resp.Body.Close()
	} else if err == nil {
		resp.Body.Close()
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	if err != nil && strings.HasPrefix(err.Error(), "content ") { // the verifier's words, not the transport's
		t.Fatalf("wrong or silently short: %v", err)
	}
	if survives && err != nil {
		t.Errorf("not survived: %v\n%+v", err, b.engine.Downloads())
	}
}

// readInTime reads the body; one that makes no progress for 20 s is an error.
func readInTime(b *bed, url string, resp *http.Response) error {
	timer := time.AfterFunc(20*time.Second, func() {
		b.t.Logf("no end in sight: %v", b.engine.Plans())
		resp.Body.Close()
	})
	defer timer.Stop()
	content := b.origin.Content(url)
	v := content.NewVerifier()
	if _, err := io.Copy(v, resp.Body); err != nil {
		return err
	}
	return v.Close()
}
