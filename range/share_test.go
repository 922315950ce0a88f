package ranges_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dtpx/internal/testbed"
)

// slow is an origin of 256 KiB/s a connection: a file of 4 MiB lasts.
var slow = testbed.Config{TLSListen: "off", Limits: testbed.Limits{PerConn: 256 << 10}}

var near = testbed.Shape{Delay: 5 * time.Millisecond}

// own are the requests that are no slices.
func (m *mem) own() (out []testbed.Entry) {
	for _, e := range m.origin.Log().Entries() {
		if e.IfRange == "" || e.IfRange == `"other"` {
			out = append(out, e)
		}
	}
	return out
}

// started is a download of a client that has got so far that others may join.
func (m *mem) started(url string, header ...string) *http.Response {
	m.t.Helper()
	resp := m.get(url, header...)
	m.some(resp, 512<<10)
	return resp
}

func TestPublicAndFreshIsSharedWithoutAsking(t *testing.T) {
	for _, cc := range []string{"public, max-age=600", "max-age=0, s-maxage=600", "max-age=999999999999, immutable", "max-age=600&etag=weak", "max-age=600&etag=none"} {
		synctest.Test(t, func(t *testing.T) {
			m := newMem(t, slow, near, nil)
			url := testbed.URL(m.origin.HTTP, "2MiB/f", strings.Split("cache="+cc, "&")...)
			a := m.started(url)
			b := m.get(url)
			if n := len(m.own()); n != 1 {
				t.Errorf("%s: %d requests for the whole", cc, n)
			}
			m.whole(url, b)
			m.part2(url, a, 512<<10)
			if d := m.last(); d.Readers != 2 || d.State != "done" {
				t.Errorf("%s: %+v", cc, d)
			}
		})
	}
}

// TestDateIsNothingToAskBy: where a date alone says which version it is, whoever may not
// have it unasked has a download of his own.
func TestDateIsNothingToAskBy(t *testing.T) {
	for _, tag := range []string{"etag=none", "etag=weak"} {
		synctest.Test(t, func(t *testing.T) {
			m := newMem(t, slow, near, nil)
			url := testbed.URL(m.origin.HTTP, "2MiB/f", "cache=private, max-age=600", tag)
			a := m.started(url)
			m.whole(url, m.get(url))
			m.part2(url, a, 512<<10)
			if n, d := len(m.own()), m.last(); n != 2 || d.Readers != 1 {
				t.Errorf("%d requests for the whole, %+v", n, d)
			}
		})
	}
}

// part2 reads on from off to the end.
func (m *mem) part2(url string, resp *http.Response, off int64) {
	m.t.Helper()
	m.part(url, resp, off, m.origin.Content(url).Size-off)
}

// What a shared cache may not give out is shared only with a client that the
// origin tells that it has nothing newer for it.
func TestOthersAskFirst(t *testing.T) {
	for _, c := range []struct {
		name    string
		options []string
		a, b    []string // fields of the first and of the second client
	}{
		{"no freshness", nil, nil, nil},
		{"stale", []string{"cache=public, max-age=1"}, nil, nil},
		{"private", []string{"cache=private, max-age=600"}, nil, nil},
		{"private for a field", []string{`cache=private="X-A, X-B", max-age=600`}, nil, nil},
		{"no-store", []string{"cache=no-store"}, nil, nil},
		{"no-cache", []string{"cache=no-cache, max-age=600"}, nil, nil},
		{"private, ended by a semicolon", []string{"cache=private; max-age=600"}, nil, nil},
		{"private, followed by one", []string{"cache=max-age=600, private; x=1"}, nil, nil},
		{"private with a value", []string{"cache=max-age=600, PRIVATE =1"}, nil, nil},
		{"no-cache and more", []string{"cache=max-age=600, no-cache x"}, nil, nil},
		{"no-store behind a broken string", []string{`cache=max-age=600, a="x, no-store`}, nil, nil},
		{"two lifetimes", []string{"cache=max-age=600, max-age=1"}, nil, nil},
		{"two shared lifetimes", []string{"cache=s-maxage=1, s-maxage=600"}, nil, nil},
		{"a shared lifetime that is none", []string{"cache=max-age=600, s-maxage=cow"}, nil, nil},
		{"Set-Cookie", []string{"cache=max-age=600", "h=Set-Cookie:a=1"}, nil, nil},
		{"the first has a cookie", []string{"cache=max-age=600"}, []string{"Cookie", "a=1"}, nil},
		{"the second has one", []string{"cache=max-age=600"}, nil, []string{"Cookie", "a=1"}},
		{"the first has a token", []string{"cache=max-age=600"}, []string{"Private-Token", "secret"}, nil},
		{"the second has one, too", []string{"cache=max-age=600"}, nil, []string{"X-Api-Key", "secret"}},
		{"the second is authorized", []string{"cache=max-age=600"}, nil, []string{"Authorization", "Basic eDp5"}},
		{"the second wants no cache", []string{"cache=max-age=600"}, nil, []string{"Cache-Control", "no-cache"}},
		{"the same, of old", []string{"cache=max-age=600"}, nil, []string{"Pragma", "no-cache"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMem(t, slow, near, nil)
			url := testbed.URL(m.origin.HTTP, "2MiB/f", c.options...)
			a := m.started(url, c.a...)
			time.Sleep(time.Second)
			b := m.get(url, c.b...)
			own := m.own()
			if len(own) != 2 || own[1].Status != 304 || own[1].Header.Get("If-None-Match") == "" || b.StatusCode != 200 {
				t.Errorf("%s: %d requests, the last %+v", c.name, len(own), own[len(own)-1])
			}
			m.whole(url, b)
			m.part2(url, a, 512<<10)
			if d := m.last(); d.Readers != 2 {
				t.Errorf("%s: not joined: %+v", c.name, d)
			}
		})
	}
}

func TestAnotherVersionIsItsOwnDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMem(t, slow, near, nil)
		url := testbed.URL(m.origin.HTTP, "2MiB/f", "change=1s", "cache=no-cache")
		a := m.started(url)
		time.Sleep(time.Second)
		b := m.get(url)
		if b.StatusCode != 200 || a.Header.Get("Etag") == b.Header.Get("Etag") {
			t.Fatalf("%v %v", b.Status, b.Header)
		}
		changed := m.origin.Content(url)
		changed.Seed += uint64(1)
		if err := changed.Verify(b.Body); err != nil {
			t.Errorf("the second client: %v", err)
		}
		m.part2(url, a, 512<<10) // slice 0 goes on alone with what it began
	})
}

func TestWhoMayNotShare(t *testing.T) {
	for _, c := range []struct {
		name, vary, realm string
		a, b              []string
		own               int // requests for the whole
	}{
		{"same language", "Accept-Language", "", []string{"Accept-Language", "eo"}, []string{"Accept-Language", "eo"}, 1},
		{"another language", "Accept-Language", "", []string{"Accept-Language", "eo"}, []string{"Accept-Language", "vo"}, 2},
		{"Vary forgotten", "", "", []string{"Accept-Encoding", "br"}, []string{"Accept-Encoding", "gzip"}, 2},
		{"another site's page", "", "", []string{"Origin", "https://a"}, []string{"Origin", "https://b"}, 2},
		{"no page, and one", "", "", nil, []string{"Origin", "https://b"}, 2},
		{"an unknown field", "X-Device", "", []string{"X-Device", "1"}, nil, 2},
		{"anything", "*", "", nil, nil, 2},
		{"another realm", "", "guests", nil, nil, 2},
		{"its own condition", "", "", nil, []string{"If-Modified-Since", "Mon, 01 Jan 1990 00:00:00 GMT"}, 2},
		{"several ranges", "", "", nil, []string{"Range", "bytes=0-1,5-9"}, 2},
		{"the first bends it", "", "", []string{"X-Forwarded-Host", "evil.example"}, nil, 2},
		{"the second bends it", "", "", nil, []string{"X_Original_Url", "/evil"}, 2},
		{"a range of another version", "", "", nil, []string{"Range", "bytes=5-9", "If-Range", `"other"`}, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMem(t, slow, near, nil)
			url := testbed.URL(m.origin.HTTP, "2MiB/f", "cache=max-age=600", "vary="+c.vary)
			a := m.started(url, c.a...)
			b := m.do(m.newClient(c.realm), m.request(url, c.b...))
			defer b.Body.Close()
			if n := len(m.own()); c.realm == "" && n != c.own || c.realm != "" && n != 2 {
				t.Errorf("%s: %d requests for the whole, want %d", c.name, n, c.own)
			}
			for _, e := range m.own() {
				if e.Header.Get("If-None-Match") != "" {
					t.Errorf("%s: asked with the validator of what it must not know of", c.name)
				}
			}
			if b.StatusCode == 200 {
				m.whole(url, b)
			}
			m.part2(url, a, 512<<10)
		})
	}
}

// A client that seeks, or comes with a range, joins where it wants to be.
func TestRangeJoins(t *testing.T) {
	for _, c := range []struct {
		field  string
		off, n int64
	}{
		{"bytes=3000000-", 3000000, 4<<20 - 3000000},
		{"bytes=100-2099", 100, 2000},
		{"bytes=-5000", 4<<20 - 5000, 5000},
		{"bytes=0-99999999", 0, 4 << 20},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMem(t, slow, near, nil)
			url := testbed.URL(m.origin.HTTP, "4MiB/f", "cache=max-age=600")
			a := m.started(url)
			b := m.get(url, "Range", c.field, "If-Range", a.Header.Get("Etag"))
			if b.StatusCode != 206 || b.ContentLength != c.n || len(m.own()) != 1 {
				t.Errorf("%s: %v, length %d, %d requests", c.field, b.Status, b.ContentLength, len(m.own()))
			}
			if !strings.HasSuffix(b.Header.Get("Content-Range"), "/4194304") {
				t.Errorf("%s: %s", c.field, b.Header.Get("Content-Range"))
			}
			m.part(url, b, c.off, c.n)
			m.part2(url, a, 512<<10)
		})
	}
}

// Slices carry the credentials of a client that is still there, and of no other.
func TestNoCredentialsOfOneWhoHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMem(t, slow, near, nil)
		url := testbed.URL(m.origin.HTTP, "4MiB/f")
		a := m.started(url, "Cookie", "user=anna", "Authorization", "Basic YTph")
		b := m.get(url, "Cookie", "user=bert")
		m.some(b, 64<<10)
		a.Body.Close()
		left := time.Now()
		m.part2(url, b, 64<<10)
		slices := 0
		for _, e := range m.origin.Log().Entries() {
			if e.IfRange == "" || !e.Time.After(left.Add(20*time.Millisecond)) {
				continue // what was on its way when she left
			}
			slices++
			if e.Header.Get("Cookie") != "user=bert" || e.Header.Get("Authorization") != "" {
				t.Errorf("%v after she left: %v", e.Time.Sub(left), e.Header)
			}
		}
		if slices < 4 {
			t.Errorf("only %d slices", slices)
		}
	})
}
