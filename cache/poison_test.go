package cache

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"dtpx/cache/internal/rules"
)

// What one client sends must not change what another one gets.

// TestPoison: fields that are no part of the key, oversize and meta-characters (CPDoS)
// change nobody else's answer, small or accelerated, stored or on its way.
func TestPoison(t *testing.T) {
	for name, size := range map[string]int{"small": 1000, "large": 3 << 20, "accelerated": 5<<20 + 5} {
		for _, bad := range [][]string{
			{"X-Forwarded-Host", "evil.example"}, {"X_Forwarded_Host", "evil.example"}, {"X-Original-Url", "/evil"},
			{"X-Http-Method-Override", "DELETE"}, {"X-Forwarded-Scheme", "nothttps"}, {"X-Oversize", strings.Repeat("a", 9<<10)},
			{"X-Meta", "a\tb"}, {"Range", "bytes=cow"}, {"Content-Type", "cow"}, {"If-Match", `"cow"`}, {"Expect", "cow"},
		} {
			t.Run(name+" "+bad[0], func(t *testing.T) {
				good, evil := content(size, 1), content(size, 2)
				r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
					switch {
					case strings.HasPrefix(bad[0], "X") && q.Header.Get(bad[0]) != "" && bad[0] != "X-Oversize" && bad[0] != "X-Meta":
						file(evil, `"evil"`, "Cache-Control", "public, max-age=3600")(w, q)
					case q.Header.Get(bad[0]) == bad[1]:
						w.Header().Set("Cache-Control", "public, max-age=3600")
						http.Error(w, "what is that?", http.StatusBadRequest)
					default:
						file(good, `"good"`, "Cache-Control", "public, max-age=3600")(w, q)
					}
				})
				resp, err := r.through("local").RoundTrip(r.request(t.Context(), "GET", "/f", bad...))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close() // it is still on its way
				if a := r.get("/g", bad...); a.err != nil {
					t.Fatal(a.err)
				}
				for range 2 {
					r.want(r.get("/f"), 200, good)
					r.want(r.get("/g"), 200, good)
				}
			})
		}
	}
}

// TestRefusal: what an origin says to one client because of who that is, or what it
// sends beside the key, is no other client's answer, whatever lifetime it has.
func TestRefusal(t *testing.T) {
	b := content(1000, 1)
	for _, status := range []int{400, 401, 403, 406, 408, 412, 413, 415, 417, 421, 422, 425, 428, 429, 431, 451, 511} {
		r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
			if q.Header.Get("User-Agent") == "bot" { // or Referer, X-Forwarded-For, a country
				w.Header().Set("Cache-Control", "public, max-age=3600")
				w.Header().Set("Etag", `"no"`)
				w.WriteHeader(status)
				return
			}
			file(b, `"v1"`, "Cache-Control", fresh)(w, q)
		})
		if a := r.get("/f", "User-Agent", "bot"); a.StatusCode != status {
			t.Errorf("%d is %d", status, a.StatusCode)
		}
		r.want(r.get("/f"), 200, b)
	}
}

// TestVariantsAreBounded: who makes up values of what a server varies by does not make
// each request for that URL look at thousands of responses.
func TestVariantsAreBounded(t *testing.T) {
	for _, size := range []int{1000, 300 << 10} {
		b := content(size, 1)
		r := newRig(t, file(b, "", "Cache-Control", fresh, "Vary", "User-Agent"))
		const many = 3 * variantsMax
		for i := range many {
			r.want(r.get("/f", "User-Agent", fmt.Sprint(i)), 200, b)
		}
		u, _ := url.Parse(r.origin.URL + "/f")
		k, _ := rules.KeyOf(u, nil)
		all := r.cache.lookup(k)
		if releaseAll(all); len(all) > variantsMax+1 {
			t.Errorf("%d responses", len(all))
		}
		r.requests.Store(0)
		r.body.Store(0)
		r.want(r.get("/f", "User-Agent", fmt.Sprint(many-1)), 200, b)
		r.cost(0, 0)
	}
}

// TestSigned: the bytes of a signed URL serve for another signature as well, once the
// origin has confirmed that one; without its leave, or without a validator, nobody gets
// them.
func TestSigned(t *testing.T) {
	const size = 5 << 20
	b := content(size, 1)
	at := func(path, sig string) string {
		return fmt.Sprintf("%s?part=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%s&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=%s", path, sig, sig)
	}
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		tag := `"v1"`
		switch {
		case q.URL.Query().Get("X-Amz-Signature") == "mallory":
			w.WriteHeader(403)
			return
		case q.URL.Path == "/weak":
			tag = `W/"v1"`
		}
		file(b, tag, "Cache-Control", fresh)(w, q)
	})
	r.want(r.get(at("/f", "alice")), 200, b)
	r.requests.Store(0)
	r.body.Store(0)
	for _, who := range []string{"alice", "bob"} {
		r.want(r.get(at("/f", who)), 200, b)
		r.cost(1, 0)
		r.want(r.get(at("/f", who), "Range", span(100, 200)), 206, b[100:200])
		r.cost(1, 0)
	}
	for _, fields := range [][]string{nil, {"Range", span(0, 9)}, {"If-None-Match", `"v1"`}} {
		if a := r.get(at("/f", "mallory"), fields...); a.StatusCode != 403 {
			t.Errorf("%v: status %d", fields, a.StatusCode)
		}
	}
	if a := r.get("/f?part=1"); a.StatusCode != 200 || a.Header.Get("Age") != "" {
		t.Errorf("the URL without a signature: %d %v", a.StatusCode, a.Header)
	}
	r.want(r.get(at("/weak", "alice")), 200, b)
	r.requests.Store(0)
	r.body.Store(0)
	r.want(r.get(at("/weak", "bob")), 200, b)
	r.cost(1, size)
}

// TestClocks: a client's, an origin's or this machine's clock that is wrong makes
// questions, and no wrong answer.
func TestClocks(t *testing.T) {
	b := content(5000, 1)
	for _, c := range []struct {
		name, date string // of the origin, from ours
		fields     []string
		jump       time.Duration // of ours, then
		cost       int64         // requests for a repeat
	}{
		{"right", "0s", []string{"Cache-Control", "max-age=600"}, 0, 0},
		{"origin ahead", "7h", []string{"Cache-Control", "max-age=600"}, 0, 0},
		{"origin ahead, Expires", "7h", []string{"Expires", "7h10m"}, 0, 0},
		{"origin behind", "-7h", []string{"Cache-Control", "max-age=600"}, 0, 1}, // it may have been on its way for so long
		{"no date", "", []string{"Cache-Control", "max-age=600"}, 0, 0},
		{"no date, Expires", "", []string{"Expires", "10m"}, 0, 0},
		{"we jump ahead", "0s", []string{"Cache-Control", "max-age=600"}, 5 * time.Hour, 1},
		{"we jump back", "0s", []string{"Cache-Control", "max-age=600"}, -5 * time.Hour, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r *rig
			at := func(s string) string {
				d, err := time.ParseDuration(s)
				if err != nil {
					return s
				}
				return r.now().Add(d).UTC().Format(http.TimeFormat)
			}
			r = newRig(t, func(w http.ResponseWriter, q *http.Request) {
				if w.Header()["Date"] = nil; c.date != "" {
					w.Header().Set("Date", at(c.date))
				}
				file(b, `"v1"`, c.fields[0], at(c.fields[1]))(w, q)
			})
			r.want(r.get("/f"), 200, b)
			r.later(c.jump)
			r.requests.Store(0)
			r.body.Store(0)
			r.want(r.get("/f"), 200, b)
			r.cost(c.cost, 0)
		})
	}
}

// TestAptResumes: apt asks for the rest by date (If-Range: Last-Modified).
func TestAptResumes(t *testing.T) {
	const size, part = 3 << 20, 1 << 20
	b := content(size, 1)
	modified := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
	serve := file(b, `"v1"`, "Cache-Control", fresh, "Last-Modified", modified)
	for _, c := range []struct {
		date   string
		status int
		want   []byte
	}{{modified, 206, b[part:]}, {time.Now().Add(-2 * time.Hour).UTC().Format(http.TimeFormat), 200, b}} {
		r := newRig(t, serve)
		r.want(r.get("/f", "Range", span(0, part)), 206, b[:part])
		r.body.Store(0)
		r.want(r.get("/f", "Range", fmt.Sprintf("bytes=%d-", part), "If-Range", c.date), c.status, c.want)
		if n := r.body.Load(); n > size-part {
			t.Errorf("the origin sent %d bytes for %d", n, size-part)
		}
		r.requests.Store(0)
		r.body.Store(0)
		r.want(r.get("/f", "Range", fmt.Sprintf("bytes=%d-", size)), 416, nil) // wget -c of what is whole
		r.cost(0, 0)
	}
}
