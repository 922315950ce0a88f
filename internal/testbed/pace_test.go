package testbed

import (
	"crypto/tls"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"
)

// How fast and how smooth is measured exactly in memory (memnet_test.go); here
// only that the throttle stays with a real connection over many requests.
func TestThrottleStaysWithTheConnection(t *testing.T) {
	o := start(t, Config{Limits: Limits{PerConn: 1 << 20}})
	for _, u := range []string{URL(o.HTTP, "16KiB/f"), URL(o.HTTPS, "16KiB/f")} {
		c := o.Client()
		begin := time.Now()
		for range 16 { // 256 KiB at 1 MiB/s: 250 ms, less a burst of 20
			resp, err := c.Get(u)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		if took := time.Since(begin); took < 220*time.Millisecond {
			t.Errorf("%s: 16 requests took %v", u, took)
		}
	}
	for _, e := range o.Log().Entries() {
		if e.Acked >= 0 && e.Acked != e.Written {
			t.Errorf("request %d of connection %d: acked %d of %d", e.OnConn, e.Conn, e.Acked, e.Written)
		}
	}
}

func TestClosedClientDoesNotMakeTheQueueLookDelivered(t *testing.T) {
	o := start(t, Config{})
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: o.CA.Pool()}}
	resp, err := tr.RoundTrip(httpGet(t, URL(o.HTTP, "1GiB/f")))
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "linux" {
		t.Skip("no TCP_INFO on this system")
	}
	// The client reads nothing: its window fills, then the origin's queue does.
	waitFor(t, func() bool { e := o.Log().Entries()[0]; return e.Written-e.Acked > 1<<20 })
	resp.Body.Close()
	waitFor(t, func() bool { return o.Log().Entries()[0].Took > 0 })
	e := o.Log().Entries()[0]
	if e.Acked == 0 || e.Acked >= e.Written {
		t.Errorf("acked %d of %d", e.Acked, e.Written)
	}
	if st := o.Log().Stats("/f"); st.Total != e.Acked || st.Unique != st.Total || st.Duplicate != 0 {
		t.Errorf("%+v", st)
	}
}

func httpGet(t *testing.T, url string) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestStats(t *testing.T) {
	o := start(t, Config{})
	u := URL(o.HTTP, "1000/f")
	for i, r := range []string{"bytes=0-499", "bytes=400-599", "bytes=0-9,990-999"} {
		if _, _, err := get(t, o, u, "Range: "+r); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return o.Log().Entries()[i].Took > 0 })
	}
	st := o.Log().Stats("/f")
	if st.Requests != 3 || st.Conns != 3 || st.MaxAtOnce != 1 || st.Unique != 610 || st.Duplicate != 110 {
		t.Errorf("%+v", st)
	}
}
