package ranges_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"dtpx/internal/testbed"
	ranges "dtpx/range"
)

// A large file comes over the members' lines when the own one is dead from the
// start, and the own one joins when it is back.
func TestOwnLineDeadFromTheStart(t *testing.T) {
	for _, dead := range []struct {
		what      string
		die, live func(*testbed.Link)
		within    time.Duration
	}{
		{"silent", (*testbed.Link).Freeze, (*testbed.Link).Thaw, 2200 * time.Millisecond},
		{"refused", (*testbed.Link).Cut, (*testbed.Link).Heal, 500 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, ps := group(t, nil, 2*mib, mib, mib, mib)
			ps[0].refuse(errors.New("no way either"))
			dead.die(m.link)
			url := testbed.URL(m.origin.HTTPS, "48MiB/f")
			began := time.Now()
			resp := m.get(url)
			within(t, dead.what+": the head", began, dead.within)
			time.AfterFunc(6*time.Second, func() { dead.live(m.link) })
			time.AfterFunc(6*time.Second, ps[0].accept)
			m.whole(url, resp)
			// 2 MiB/s for 6 s, then 5: 13.2 s
			within(t, dead.what+": all", began, 17*time.Second)
			if s := m.source(""); s.Bytes < 8*mib || s.Kind != ranges.KindDirect || m.last().StallMS > 1000 {
				t.Errorf("%s: %+v, longest wait %d ms", dead.what, s, m.last().StallMS)
			}
			if f := m.engine.Hosts.Facts(url); f.Ceiling != 0 {
				t.Errorf("%s: the host is said to bear %d connections", dead.what, f.Ceiling)
			}
		})
	}
}

// What cannot be accelerated never comes through a peer: the client gets the
// error that it would have got without any.
func TestRescueIsForLargeFilesOnly(t *testing.T) {
	for _, path := range [][]string{{"8KiB/small"}, {"4MiB/f", "fault=chunked"}, {"4MiB/f", "etag=none", "date=none"}} {
		synctest.Test(t, func(t *testing.T) {
			m, _ := group(t, nil, mib, mib, mib)
			m.link.Cut()
			if resp, err := m.client.Do(m.request(testbed.URL(m.origin.HTTPS, path[0], path[1:]...))); err == nil {
				t.Errorf("%s: %s", path, resp.Status)
				resp.Body.Close()
			}
			if n := len(m.origin.Log().Entries()); n > 1 {
				t.Errorf("%s: asked %d times", path, n)
			}
		})
	}
}

// A direct request that has been written is never sent again, however slow its
// answer; nor are others than plain https GETs that Sources has peers for.
func TestWrittenRequestIsSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ps := group(t, nil, mib, mib, mib)
		url := testbed.URL(m.origin.HTTPS, "1MiB/f", "fault=slow-headers,for=8s,times=1,at=first")
		m.get(url).Body.Close()
		if n := len(m.origin.Log().Entries()); n > 1 || ps[0].dials.Load() > 0 {
			t.Errorf("sent %d times", n)
		}
		m.link.Cut()
		req := m.request(m.origin.HTTPS + "/1MiB/f")
		req.Method = http.MethodPost
		for _, req := range []*http.Request{req, m.request(m.origin.HTTP + "/1MiB/f")} {
			if resp, err := m.client.Do(req); err == nil {
				resp.Body.Close()
				t.Errorf("%s %s went through a peer", req.Method, req.URL)
			}
		}
	})
}

// A line that is only slow to connect is waited for when no member can help.
func TestSlowLineWinsOverDeadPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ps := group(t, nil, mib, mib, mib)
		for _, p := range ps {
			p.link.Freeze()
		}
		m.link.Pause(3 * time.Second)
		url := testbed.URL(m.origin.HTTPS, "2MiB/f")
		began := time.Now()
		m.whole(url, m.get(url))
		within(t, "2 MiB", began, 6*time.Second)
		if s := m.source(""); s.Bytes != 2*mib {
			t.Errorf("%+v", s)
		}
		for _, p := range ps {
			p.link.Thaw()
		}
	})
}

// The own line dies in the middle and comes back; members go on without a
// noticeable wait. Then all members die, and it goes on alone.
func TestLinesDieInTheMiddle(t *testing.T) {
	for _, how := range []struct {
		what      string
		die, live func(*testbed.Link)
	}{{"silent", (*testbed.Link).Freeze, (*testbed.Link).Thaw}, {"cut", (*testbed.Link).Cut, (*testbed.Link).Heal}} {
		synctest.Test(t, func(t *testing.T) {
			m, ps := group(t, nil, 2*mib, 2*mib, 2*mib)
			time.AfterFunc(3*time.Second, func() { how.die(m.link) })
			time.AfterFunc(12*time.Second, func() { how.live(m.link) })
			time.AfterFunc(24*time.Second, func() {
				if d := m.last(); d.StallMS > 1000 {
					t.Errorf("%s: waited %d ms, %+v", how.what, d.StallMS, d)
				}
				for _, p := range ps {
					how.die(p.link)
				}
			})
			url := testbed.URL(m.origin.HTTPS, "140MiB/f")
			began := time.Now()
			m.whole(url, m.get(url))
			// 18 MiB in 3 s, 36 until 12 s, 72 until 24 s (less 5 s of benching), the rest alone.
			within(t, how.what, began, 40*time.Second)
			if d := m.last(); d.StallMS > 3000 { // all but one at once
				t.Errorf("%s: waited %d ms, %+v", how.what, d.StallMS, d)
			}
			for _, p := range ps {
				how.live(p.link)
			}
		})
	}
}

// All lines are cut in the middle. If they come back within a minute and a half the
// download goes on; if not, it ends with an error, and does not try for ever.
func TestAllLinesDie(t *testing.T) {
	for _, back := range []time.Duration{90 * time.Second, 0} {
		synctest.Test(t, func(t *testing.T) {
			m, ps := group(t, nil, 2*mib, 2*mib, 2*mib)
			all := []*testbed.Link{m.link, ps[0].link, ps[1].link}
			change := func(f func(*testbed.Link)) func() {
				return func() {
					for _, l := range all {
						f(l)
					}
				}
			}
			time.AfterFunc(3*time.Second, change((*testbed.Link).Cut))
			if back > 0 {
				time.AfterFunc(3*time.Second+back, change((*testbed.Link).Heal))
			}
			url := testbed.URL(m.origin.HTTPS, "64MiB/f")
			began := time.Now()
			resp := m.get(url)
			if back > 0 {
				m.whole(url, resp)
				return
			}
			n, err := io.Copy(io.Discard, resp.Body)
			if took := time.Since(began); err == nil || n >= 64*mib || took < 2*time.Minute || took > 4*time.Minute {
				t.Errorf("%d bytes, %v, after %v", n, err, took)
			}
			resp.Body.Close()
		})
	}
}
