package ranges_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dtpx/internal/testbed"
	ranges "dtpx/range"
)

// site serves testbed content with fields of its own: what one cannot say in
// a testbed URL. Paths are /name; the content is that of /4MiB/f.
type site struct {
	mu    sync.Mutex
	seen  []*http.Request
	reply func(n int, w http.ResponseWriter, r *http.Request) (handled bool)
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.seen = append(s.seen, r)
	n := len(s.seen)
	s.mu.Unlock()
	w.Header().Set("Etag", `"1"`)
	if s.reply != nil && s.reply(n, w, r) {
		return
	}
	c := siteContent()
	http.ServeContent(w, r, "", time.Time{}, c.Reader())
}

func siteContent() testbed.Content { return testbed.Content{Seed: 7, Size: 4 << 20} }

func (s *site) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.seen...)
}

// with is the slow origin that serves s.
func with(s *site) testbed.Config {
	cfg := slow
	cfg.Files = s
	return cfg
}

func verifySite(t *testing.T, resp *http.Response, off int64) {
	t.Helper()
	c := siteContent()
	if err := c.VerifyRange(resp.Body, off, c.Size-off); err != nil {
		t.Error(err)
	}
	resp.Body.Close()
}

// A response that was made for one client has fields for that client only.
func TestOnesCookieIsNotHandedToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &site{}
		s.reply = func(n int, w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("If-None-Match") != "" {
				w.Header().Set("X-Newer", "yes")
				w.WriteHeader(http.StatusNotModified)
				return true
			}
			w.Header().Set("Set-Cookie", fmt.Sprint("session=", n))
			w.Header().Set("Authentication-Info", "nextnonce=1")
			return false
		}
		m := newMem(t, with(s), near, nil)
		url := m.origin.HTTP + "/f"
		a := m.started(url, "Authorization", "Basic YTph")
		b := m.get(url, "Authorization", "Basic YjpC")
		if b.Header.Get("Set-Cookie") != "" || b.Header.Get("Authentication-Info") != "" {
			t.Errorf("the second client got %v", b.Header)
		}
		if b.Header.Get("X-Newer") != "yes" || b.Header.Get("Etag") != `"1"` || m.last().Readers != 2 {
			t.Errorf("not joined with updated fields: %v", b.Header)
		}
		verifySite(t, a, 512<<10)
		verifySite(t, b, 0)
	})
}

// The redirect of the one who is still there is followed, with what that one sent.
func TestRenewalIsForTheOneWhoIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &site{}
		gen := 0 // signatures of earlier generations have expired
		s.reply = func(n int, w http.ResponseWriter, r *http.Request) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			switch {
			case r.URL.Path == "/go":
				http.Redirect(w, r, fmt.Sprint("/f?sig=", gen), http.StatusFound)
			case r.URL.RawQuery != fmt.Sprint("sig=", gen):
				http.Error(w, "expired", http.StatusForbidden)
			default:
				return false
			}
			return true
		}
		m := newMem(t, with(s), near, &ranges.Engine{MinSize: 64 << 10, Window: 1 << 20})
		from := m.origin.HTTP + "/go"
		a := m.do(m.client, as(m.request(from, "Cookie", "user=anna"), "anna"))
		m.some(a, 512<<10)
		b := m.do(m.client, as(m.request(from, "Cookie", "user=bert"), "bert"))
		m.some(b, 64<<10)
		if m.last().Readers != 2 {
			t.Fatalf("not joined: %+v", m.last())
		}
		a.Body.Close()
		time.Sleep(100 * time.Millisecond)
		before := len(s.requests())
		expire := func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			gen++
		}
		expire()
		m.some(b, 2<<20)
		expire()
		verifySite(t, b, 2<<20+64<<10)
		renewed := 0
		for _, r := range s.requests()[before:] {
			if r.URL.Path == "/go" {
				renewed++
			}
			if !strings.Contains(r.Header.Get("Cookie"), "bert") {
				t.Errorf("%s with %q after anna left", r.URL, r.Header.Get("Cookie"))
			}
		}
		if renewed != 2 {
			t.Errorf("the redirect was asked again %d times", renewed)
		}
	})
}

// After a write to its URL a download is joined only by whom the origin tells so.
func TestWritten(t *testing.T) {
	for method, asks := range map[string]bool{"OPTIONS": false, "PUT": true, "DELETE": true} {
		synctest.Test(t, func(t *testing.T) {
			s := &site{}
			s.reply = func(n int, w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Cache-Control", "public, max-age=600")
				if r.Method == method {
					w.WriteHeader(http.StatusNoContent)
				}
				return r.Method == method
			}
			m := newMem(t, with(s), near, nil)
			url := m.origin.HTTP + "/f"
			a := m.get(url)
			m.some(a, 512<<10)
			write := m.request(url)
			write.Method = method
			m.do(m.client, write).Body.Close()
			before := len(s.requests())
			b := m.get(url)
			asked := false
			for _, r := range s.requests()[before:] {
				asked = asked || r.Header.Get("If-None-Match") != ""
			}
			if asked != asks {
				t.Errorf("%s: asked %v", method, asked)
			}
			verifySite(t, b, 0)
			verifySite(t, a, 512<<10)
		})
	}
}

// The answer to what was asked for before a write may be from before it: what becomes of
// it is joined only by whom the origin tells so.
func TestWrittenBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, wrote := make(chan bool), make(chan bool)
		s := &site{}
		s.reply = func(n int, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Cache-Control", "public, max-age=600")
			if n == 1 {
				close(asked)
				<-wrote
			}
			if r.Method == "PUT" {
				w.WriteHeader(http.StatusNoContent)
			}
			return r.Method == "PUT"
		}
		m := newMem(t, with(s), near, nil)
		url := m.origin.HTTP + "/f"
		got := make(chan *http.Response)
		go func() { got <- m.get(url) }()
		<-asked
		write := m.request(url)
		write.Method = "PUT"
		m.do(m.client, write).Body.Close()
		close(wrote)
		a := <-got
		m.some(a, 512<<10)
		before := len(s.requests())
		b := m.get(url)
		if !slices.ContainsFunc(s.requests()[before:], func(r *http.Request) bool { return r.Header.Get("If-None-Match") != "" }) {
			t.Error("the second client was not asked for")
		}
		verifySite(t, b, 0)
		verifySite(t, a, 512<<10)
	})
}
