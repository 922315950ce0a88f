package ranges_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dtpx/internal/testbed"
	ranges "dtpx/range"
)

// TestFaultPairs lets every pair of faults happen in one download, each once:
// the one in the middle, the other in the last slice. Somebody else can always
// bring the bytes, so the client must get them, and soon: the clock is fake.
func TestFaultPairs(t *testing.T) {
	t.Parallel()
	for i, a := range singleFaults {
		for j, b := range singleFaults {
			if !sample || (i+3*j)%12 == 0 {
				playPair(t, a.fault, b.fault)
			}
		}
	}
}

func playPair(t *testing.T, a, b string) {
	synctest.Test(t, func(t *testing.T) {
		m := newMem(t, testbed.Config{TLSListen: "off", Limits: testbed.Limits{PerConn: 64 << 10}},
			testbed.Shape{Delay: 5 * time.Millisecond}, (&ranges.Engine{MinSize: 1 << 10, Connections: 8}).Small())
		url := testbed.URL(m.origin.HTTP, "192KiB/f", "fault="+a+",times=1,at=middle", "fault="+b+",times=1,at=last")
		req, cancel := withTimeout(m.request(url), 20*time.Minute)
		defer cancel()
		began := time.Now()
		resp, err := m.client.Do(req)
		if err != nil {
			t.Fatalf("%s and %s: %v", a, b, err)
		}
		defer resp.Body.Close()
		v := m.origin.Content(url).NewVerifier()
		if _, err = io.Copy(v, resp.Body); err == nil {
			err = v.Close()
		}
		switch {
		case err != nil && strings.HasPrefix(err.Error(), "content "):
			t.Errorf("%s and %s: wrong or silently short: %v", a, b, err)
		case err != nil:
			t.Errorf("%s and %s: not survived: %v\n%+v", a, b, err, m.engine.Downloads())
		}
		within(t, a+" and "+b, began, 12*time.Second)
	})
}
