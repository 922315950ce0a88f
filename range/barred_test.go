package ranges_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// bound serves only the address that asked first, as some signed URLs do.
type bound struct {
	site
	turned atomic.Int32
	except string // an address that is served as well
}

func newBound(status int) *bound {
	b := &bound{}
	b.reply = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.RemoteAddr, "10.0.0.1:") || b.except != "" && strings.HasPrefix(r.RemoteAddr, b.except) {
			return false
		}
		b.turned.Add(1)
		http.Error(w, "not you", status)
		return true
	}
	return b
}

// A URL bound to our address: members are turned away once, the download goes
// on alone, the host is remembered after two, and the next download asks none.
func TestAddressBoundURL(t *testing.T) {
	for _, status := range []int{401, 403, 404, 410} {
		synctest.Test(t, func(t *testing.T) {
			b := newBound(status)
			m, ps := group(t, b, mib, mib, mib, mib, mib)
			url := m.origin.HTTPS + "/f"
			for range 2 {
				resp := m.get(url)
				verifySite(t, resp, 0)
			}
			if n := b.turned.Load(); n < 2 || n > 4 {
				t.Errorf("%d: %d members turned away, want each at most once, in the first download", status, n)
			}
			d := m.last()
			if !m.engine.Hosts.Facts(url).NoPeers || d.State != "done" || !strings.Contains(d.Note, "members") || len(d.Sources) != 1 {
				t.Errorf("%d: %+v", status, d)
			}
			dials := ps[0].dials.Load()
			time.Sleep(8 * 24 * time.Hour)
			verifySite(t, m.get(url), 0)
			if ps[0].dials.Load() == dials {
				t.Errorf("%d: not asked again after 8 days", status)
			}
		})
	}
}

// One member is no proof, nor are two where a third is served; and over plain
// http anybody on the way could have said it.
func TestNotAddressBound(t *testing.T) {
	for _, c := range []struct {
		what   string
		peers  int
		except string
		plain  bool
	}{{"one member", 1, "", false}, {"one is served", 3, "10.0.1.1:", false}, {"plain http", 3, "", true}} {
		synctest.Test(t, func(t *testing.T) {
			b := newBound(403)
			b.except = c.except
			m, ps := group(t, b, mib, 2*mib, 2*mib, 2*mib)
			m.engine.Sources = sourcesOf(ps[:c.peers])
			url := m.origin.HTTPS + "/f"
			if c.plain {
				url = m.origin.HTTP + "/f"
			}
			for range 2 {
				verifySite(t, m.get(url), 0)
			}
			if m.engine.Hosts.Facts(url).NoPeers {
				t.Errorf("%s: the host is said to refuse members", c.what)
			}
			if d := m.last(); d.State != "done" || c.except != "" && d.Sources[1].Bytes == 0 {
				t.Errorf("%s: %+v", c.what, d)
			}
		})
	}
}

// A signed target that members may not ask for must not make the client's
// request be repeated; when it expires for us too, it is, once.
func TestRefusedMemberRenewsNothing(t *testing.T) {
	for _, expires := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int32
			b := newBound(403)
			turn := b.reply
			began := time.Now()
			b.reply = func(n int, w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/start" {
					asked.Add(1)
					w.Header().Del("Etag")
					target := "/target?sig=1"
					if asked.Load() > 1 {
						target = "/target?sig=2"
					}
					http.Redirect(w, r, target, http.StatusFound)
					return true
				}
				if expires && time.Since(began) > 1500*time.Millisecond && r.URL.Query().Get("sig") == "1" {
					http.Error(w, "expired", http.StatusForbidden)
					return true
				}
				return turn(n, w, r)
			}
			m, _ := group(t, b, mib, mib, mib)
			m.engine.Connections = 4
			verifySite(t, m.get(m.origin.HTTPS+"/start"), 0)
			want := int32(1)
			if expires {
				want = 2
			}
			if asked.Load() > want {
				t.Errorf("the redirect was asked for %d times", asked.Load())
			}
		})
	}
}
