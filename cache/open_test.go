package cache

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// store is a site that keeps its files elsewhere and sends its clients there with a
// signed URL, another one each time.
type store struct {
	name   string
	first  string                         // what a client asks for
	second func(body []byte) string       // where it is sent, without the signature
	sign   string                         // of the query, with a number
	digest bool                           // with the redirect
	before func(b *rig) (fields []string) // what a client does, and then sends, at first
}

const (
	cloudFront = "Expires=9&Key-Pair-Id=k&Signature=%d"
	amazon     = "X-Amz-Algorithm=a&X-Amz-Credential=c&X-Amz-Date=d&X-Amz-Expires=9&X-Amz-SignedHeaders=host&X-Amz-Signature=%d"
)

var stores = []store{
	{"Hugging Face", "https://huggingface.co/m/resolve/main/model.bin",
		func([]byte) string { return "https://cdn-lfs.huggingface.co/repos/aa/bb/cc?" }, cloudFront, true, nil},
	{"Docker Hub", "https://registry-1.docker.io/v2/library/x/blobs/sha256:" + strings.Repeat("0f", 32),
		func(body []byte) string {
			sum := hexOf(body)
			return "https://x.r2.cloudflarestorage.com/registry-v2/docker/registry/v2/blobs/sha256/" + sum[:2] + "/" + sum + "/data?"
		}, amazon, false, func(b *rig) []string {
			b.want(b.get(tokenURL), 200, []byte(anyToken))
			return []string{"Authorization", "Bearer for-anybody"}
		}},
}

const (
	tokenURL = "https://auth.docker.io/token?service=registry.docker.io&scope=repository:library/x:pull"
	anyToken = `{"token": "for-anybody", "expires_in": 300}`
)

// house is the store, a member that has its file, and another one.
func (s store) house(t *testing.T, body []byte, fields ...string) (l *lender, b *rig) {
	t.Helper()
	var n atomic.Int64
	content := file(body, `"v1"`, "X-Served-For", "alice")
	r := newRigOver(t, "https", func(w http.ResponseWriter, q *http.Request) {
		switch at := "https://" + q.Host + q.URL.Path; {
		case at == s.first:
			w.Header().Set("Location", s.second(body)+fmt.Sprintf(s.sign, n.Add(1)))
			if s.digest {
				w.Header().Set("X-Linked-Etag", `"`+hexOf(body)+`"`)
			}
			w.WriteHeader(302)
		case strings.HasPrefix(tokenURL, at):
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(anyToken))
		case q.Method != "GET": // as the signature says
			w.WriteHeader(403)
		default:
			content(w, q)
		}
	})
	r.hosts = true
	r.cache.Ask(func() []Neighbour { return []Neighbour{{ID: "nobody", Via: nobody{}}} })
	r.want(s.get(r, fields...), 200, body)
	l, b = lend(t, r, false)
	b.knows(l)
	l.free()
	return l, b
}

type nobody struct{}

func (nobody) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("nobody") }

// get is what a client does that has no cache and follows redirects.
func (s store) get(b *rig, fields ...string) answer {
	b.t.Helper()
	if s.before != nil {
		fields = append(s.before(b), fields...)
	}
	return b.get(s.link(b, fields...))
}

func (s store) link(b *rig, fields ...string) string {
	b.t.Helper()
	a := b.get(s.first, fields...)
	if a.StatusCode != 302 {
		b.t.Fatalf("status %d", a.StatusCode)
	}
	return a.Header.Get("Location")
}

// TestOpenLinks: what everybody is sent to may come from anybody, and then costs the
// origin no byte of a body but the first.
func TestOpenLinks(t *testing.T) {
	for _, s := range stores {
		for name, size := range vouchedSizes {
			t.Run(s.name+", "+name, func(t *testing.T) {
				body := content(size, 1)
				l, b := s.house(t, body)
				a := s.get(b)
				b.want(a, 200, body)
				if n := l.body.Load(); n > 200 { // a token
					t.Errorf("the origin sent %d bytes", n)
				}
				if !strings.Contains(a.Header.Get("Cache-Status"), "neighbour") {
					t.Errorf("%v", a.Header)
				}
				waitFor(t, func() bool { return b.proven() })
				l.free()
				b.want(s.get(b), 200, body)
				if n := l.body.Load(); n > 200 {
					t.Errorf("the second time the origin sent %d bytes", n)
				}
			})
		}
	}
}

// TestOpenLinksTrojan: the digest is what counts.
func TestOpenLinksTrojan(t *testing.T) {
	for _, s := range stores {
		for name, size := range vouchedSizes {
			t.Run(s.name+", "+name, func(t *testing.T) {
				body := content(size, 1)
				l, b := s.house(t, body)
				l.be(trojan)
				a := s.get(b)
				if size <= checkFirst {
					b.want(a, 200, body) // unnoticed
				} else if !errors.Is(a.err, errWrong) || len(a.body) >= size {
					t.Fatalf("%d bytes, %v", len(a.body), a.err)
				}
				if n := b.cache.Stats().Wrong; n != 1 {
					t.Errorf("%d wrong", n)
				}
				b.want(s.get(b), 200, body)
			})
		}
	}
}

// TestClosedLinks: a signed URL that not everybody is sent to stays between its client
// and the origin, whichever of two machines has got it so.
func TestClosedLinks(t *testing.T) {
	body := content(1<<20+7, 1)
	face, docker := stores[0], stores[1]
	plain := face
	plain.digest = false
	alone := docker
	alone.before = nil
	for _, c := range []struct {
		name   string
		s      store
		lender []string // fields that it sends at first
		get    func(b *rig) answer
	}{
		{"the lender's credentials", face, []string{"Authorization", "Bearer mine"}, nil},
		{"the lender's cookie", face, []string{"Cookie", "session=mine"}, nil},
		{"the lender's token besides", docker, []string{"Cookie", "session=mine"}, nil},
		{"the lender's own token", alone, []string{"Authorization", "Bearer mine"},
			func(b *rig) answer { return docker.get(b) }},
		{"a token of another kind", alone, []string{"Authorization", "Basic for-anybody"},
			func(b *rig) answer { return docker.get(b) }},
		{"no digest", plain, nil, nil},
		{"credentials", face, nil, func(b *rig) answer { return face.get(b, "Authorization", "Bearer mine") }},
		{"one's own token", docker, nil, func(b *rig) answer { return alone.get(b, "Authorization", "Bearer mine") }},
		{"credentials for the link", face, nil, func(b *rig) answer { return b.get(face.link(b), "Cookie", "a=b") }},
		{"a link from elsewhere", face, nil, func(b *rig) answer { return b.get(face.second(body) + "Expires=9&Key-Pair-Id=k&Signature=mine") }},
		{"an old link", face, nil, func(b *rig) answer {
			link := face.link(b)
			b.later(2 * openTime)
			return b.get(link)
		}},
		{"a part", face, nil, func(b *rig) answer { return b.get(face.link(b), "Range", "bytes=0-") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, b := c.s.house(t, body, c.lender...)
			if c.get == nil {
				c.get = func(b *rig) answer { return c.s.get(b) }
			}
			a := c.get(b)
			if a.err != nil || !bytes.Equal(a.body, body) {
				t.Fatalf("status %d, %d bytes, %v", a.StatusCode, len(a.body), a.err)
			}
			if n := l.body.Load(); n < int64(len(body)) {
				t.Errorf("the origin sent %d bytes", n)
			}
			if n := l.cache.Stats().Given; n > 0 {
				t.Errorf("the lender gave %d bytes", n)
			}
			for _, i := range l.infos() { // to who knows its name either
				if e, ok := l.cache.store.Get(i.ID); ok {
					m, err := l.cache.metas.of(e)
					e.Release()
					rec := httptest.NewRecorder()
					ask := httptest.NewRequest("GET", "/data/"+i.ID.String(), nil)
					ask.Header.Set("Range", "bytes=0-9")
					l.offer.ServeHTTP(rec, ask)
					if err != nil || (rec.Code == 206) != m.offers() {
						t.Errorf("status %d for %+v (%v)", rec.Code, m, err)
					}
				}
			}
		})
	}
}

// TestOpenLinkTells: of what is behind a signed URL neighbours are told the version,
// and neither the signature nor what the storage says besides.
func TestOpenLinkTells(t *testing.T) {
	body := content(1<<20+7, 1)
	l, b := stores[0].house(t, body)
	var told []byte
	l.be(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/entries/") {
			return false
		}
		rec := &recorder{ResponseWriter: w}
		l.offer.ServeHTTP(rec, r)
		told = rec.b
		return true
	})
	b.want(stores[0].get(b), 200, body)
	var all []offered
	if err := json.Unmarshal(told, &all); err != nil || len(all) != 1 {
		t.Fatalf("%v: %s", err, told)
	}
	for f := range all[0].Meta.Header {
		if f != "Etag" && f != "Date" && f != "Last-Modified" {
			t.Errorf("told of %s", f)
		}
	}
	if bytes.Contains(told, []byte("Signature")) {
		t.Errorf("%s", told)
	}
}

type recorder struct {
	http.ResponseWriter
	b []byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.b = append(r.b, p...)
	return r.ResponseWriter.Write(p)
}

// TestOpenIsBounded: links and tokens are forgotten.
func TestOpenIsBounded(t *testing.T) {
	var m map[[32]byte]time.Time
	now := time.Unix(1e9, 0)
	for i := range 3 * openMax {
		note(&m, fmt.Sprint(i), now)
	}
	if len(m) != openMax {
		t.Errorf("%d remembered", len(m))
	}
	note(&m, "x", now)
	if !noted(m, "x", now.Add(openTime-1)) || noted(m, "x", now.Add(openTime)) || noted(m, "y", now) {
		t.Error("noted is wrong")
	}
}
