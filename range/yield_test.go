package ranges_test

import (
	"net/http"
	"testing"

	"dtpx/internal/testbed"
)

// A host that allows 4 connections is full of our helpers when the client asks
// it for something else: that must succeed as it would have without us.
func TestHelpersMakeRoomForTheClient(t *testing.T) {
	b := newBed(t, testbed.Config{Limits: testbed.Limits{PerConn: 1 << 20, MaxConns: 4}})
	url := testbed.URL(b.origin.HTTP, "16MiB/large")
	large := b.get(url)
	buf := make([]byte, 4<<20)
	read := 0
	for read < len(buf) { // by then the ramp has filled the host
		n, err := large.Body.Read(buf[read:])
		if err != nil {
			t.Fatal(err)
		}
		read += n
	}
	small := b.get(testbed.URL(b.origin.HTTP, "1KiB/small"))
	if small.StatusCode != http.StatusOK {
		t.Errorf("the client's own request: %s", small.Status)
	}
	small.Body.Close()
	if err := b.origin.Content(url).VerifyRange(large.Body, int64(read), 16<<20-int64(read)); err != nil {
		t.Error(err)
	}
	if refused := b.origin.Conns().Refused; refused == 0 {
		t.Error("the host was never full: this test shows nothing")
	}
}
